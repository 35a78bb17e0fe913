"""Stage `check`: what is in the raw data, and what looks wrong about it."""

from spinalroots.compute.parallel import each
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import write_json, write_text
from spinalroots.pipeline.params import Params
from spinalroots.quality.check import check_case
from spinalroots.quality.check_page import page, record, require_clean
from spinalroots.registry import paths


def main(params: Params, strict: bool | None = None) -> None:
    """Write reports/check.json and reports/check.html.

    :param strict: wins over `check.strict`.
    :raises InputError: findings, if strict; the reports are written all the same.
    """
    jobs = [(case, params.check) for case in selected_cases(params.data, paths.RAW)]
    cases = each(check_case, jobs, params.workers, "check")
    write_json(paths.CHECK, record(cases))
    write_text(paths.CHECK_PAGE, page(cases))
    if params.check.strict if strict is None else strict:
        require_clean(cases, paths.RAW, paths.CHECK_PAGE)
