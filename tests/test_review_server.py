"""The review page's server: who gets in, what it takes, and what a kill -9 leaves."""

import http.client
import json
import re
import socket
import threading
from urllib.parse import quote

import numpy as np
import psutil
import pytest
import review_case as rc
from starlette.testclient import TestClient

from spinalroots.cli import main
from spinalroots.expert import score_file
from spinalroots.imaging.volume import read_labels
from spinalroots.review import cases, server
from spinalroots.review.desk import Desk

PORT = 4321
HERE = f"http://127.0.0.1:{PORT}"
FORM = {"verdict": "pass", "scores": {"all": 0.8}}


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    folder = tmp_path_factory.mktemp("project")
    rc.pipeline(folder)
    return Desk(cases.find([folder / "data/postprocessed"], folder / "data"), folder / "data")


@pytest.fixture(scope="module")
def token() -> str:
    return server.new_token()


@pytest.fixture(scope="module")
def client(desk, token) -> TestClient:
    return TestClient(server.app(desk, token, PORT), base_url=HERE)


def message(client, token, **more) -> dict:
    version = client.get(f"/{token}/api/cases/0?reviewer=AB").json()["version"]
    return {"reviewer": "AB", "version": version, **more}


def test_the_page_and_all_that_it_loads_come_from_here(client, token):
    page = client.get(f"/{token}/")
    assert page.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 5
    for name in loaded:
        assert name.startswith("page/") or name == "data:,"
        if name.startswith("page/"):
            assert client.get(f"/{token}/{name}").status_code == 200
    for name in ("review.js", "mending.js", "form.js", "roots.js"):
        text = client.get(f"/{token}/page/{name}").text
        for other in re.findall(r'from "\./([^"]+)"', text):
            assert client.get(f"/{token}/page/{other}").status_code == 200


def test_every_answer_forbids_what_comes_from_elsewhere(client, token):
    for path in (f"/{token}/", f"/{token}/api/cases?reviewer=AB", f"/{token}/none", "/"):
        headers = client.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "path", ["/", "/wrong/", "/favicon.ico", "/api/cases", "/{half}/", "/{token}x/", "/x/{token}/"]
)
def test_without_the_token_nothing_is_answered(client, token, path):
    refused = client.get(path.format(token=token, half=token[:-1]))
    assert refused.status_code == 403
    assert "sub-001" not in refused.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{PORT}"},
        {"Origin": f"http://127.0.0.1:{PORT + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": f"evil.example:{PORT}"},
        {"Host": f"127.0.0.1:{PORT + 1}"},
        {"Host": "127.0.0.1"},
    ],
)
def test_another_origin_or_host_is_refused_even_with_the_token(client, token, desk, headers):
    assert client.get(f"/{token}/", headers=headers).status_code == 403
    body = message(client, token, form=FORM)
    refused = client.post(f"/{token}/api/cases/0/confirm", json=body, headers=headers)
    assert refused.status_code == 403
    assert not desk.cases[0].scores.exists()


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}"])
def test_the_pages_own_origin_is_let_in(client, token, host):
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert client.get(f"/{token}/", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "../desk.py",
        "..%2fdesk.py",
        "%2e%2e/%2e%2e/desk.py",
        "....//desk.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "index.html%00",
        "..\\desk.py",
    ],
)
def test_no_path_leads_out_of_the_page(client, token, name):
    found = client.get(f"/{token}/page/{name}")
    assert found.status_code in (403, 404)
    assert "import" not in found.text
    assert "root:" not in found.text


@pytest.mark.parametrize("reviewer", ["", "..", "../../x", "a/b", "%00"])
def test_a_reviewers_name_leads_nowhere_else(client, token, desk, reviewer):
    found = client.get(f"/{token}/api/cases/0?reviewer={quote(reviewer)}")
    assert found.status_code == 422
    body = message(client, token, form=FORM) | {"reviewer": reviewer}
    assert client.post(f"/{token}/api/cases/0/enter", json=body).status_code == 422
    assert not desk.cases[0].scores.with_name("review").exists()


@pytest.mark.parametrize("number", ["2", "-1", "x", "999999999999999999999"])
def test_a_case_that_is_not_there_is_an_error(client, token, number):
    assert client.get(f"/{token}/api/cases/{number}?reviewer=AB").status_code in (404, 422)


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("edit", b"{"),
        ("edit", b"[]"),
        ("edit", b'{"reviewer": "AB"}'),
        ("enter", b'{"reviewer": "AB", "version": "x", "form": {"verdict": "maybe"}}'),
        ("enter", b'{"reviewer": "AB", "version": "x", "form": {"scores": {"all": NaN}}}'),
        ("enter", b'{"reviewer": "AB", "version": "x", "form": {"path": "/etc"}}'),
        ("save", b'{"reviewer": "AB", "version": "x", "folder": "/tmp"}'),
    ],
)
def test_a_message_that_makes_no_sense_is_refused(client, token, act, body):
    headers = {"Content-Type": "application/json"}
    found = client.post(f"/{token}/api/cases/0/{act}", content=body, headers=headers)
    assert found.status_code == 400


def test_a_form_of_another_page_is_no_message(client, token, desk):
    body = json.dumps(message(client, token, form=FORM))
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {"Content-Type": kind}
        url = f"/{token}/api/cases/0/confirm"
        assert client.post(url, content=body, headers=headers).status_code == 415
    assert not desk.cases[0].scores.exists()


def test_a_message_that_never_ends_is_cut_off(client, token, monkeypatch):
    monkeypatch.setattr(server, "LARGEST", 1000)
    headers = {"Content-Type": "application/json"}
    found = client.post(f"/{token}/api/cases/0/edit", content=b" " * 5000, headers=headers)
    assert found.status_code == 413


def test_two_tokens_are_never_alike_and_long():
    tokens = {server.new_token() for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 40


# ------------------------------------------------------------------------------ a real process


def ask(served, path, body=None, **headers):
    """(status, body) of a request to a running `spinalroots review`."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    method, content = ("GET", None) if body is None else ("POST", json.dumps(body))
    kind = {"Content-Type": "application/json"} if content else {}
    connection.request(method, f"/{served.token}/{path}", content, {**kind, **headers})
    answer = connection.getresponse()
    read = answer.read()
    connection.close()
    return answer.status, read


def confirm(served, number, reviewer, comment):
    version = json.loads(ask(served, f"api/cases/{number}?reviewer={reviewer}")[1])["version"]
    form = {**FORM, "comment": comment}
    body = {"reviewer": reviewer, "version": version, "form": form}
    status, told = ask(served, f"api/cases/{number}/confirm", body)
    assert status == 200, told


def confirm_both(served, reviewer, comment):
    for number in (0, 1):
        confirm(served, number, reviewer, comment)


def test_it_listens_on_the_loopback_address_only(tmp_path):
    rc.predicted(tmp_path)
    with rc.Served(tmp_path, "out") as served:
        kept = psutil.Process(served.process.pid).net_connections("inet")
        assert {(one.laddr.ip, one.laddr.port) for one in kept if one.status == "LISTEN"} == {
            ("127.0.0.1", served.port)
        }
        assert ask(served, "")[0] == 200
        assert ask(served, "", Host="evil.example")[0] == 403
        assert ask(served, "", Origin="http://evil.example")[0] == 403


def test_what_was_confirmed_survives_kill_9_between_entries(tmp_path):
    rc.pipeline(tmp_path)
    table = tmp_path / "data/expert_scores.csv"
    for round_ in range(2):
        with rc.Served(tmp_path, "data/postprocessed") as served:
            reviewers = ("AB", "CD")
            threads = [
                threading.Thread(target=confirm_both, args=(served, who, str(round_)))
                for who in reviewers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            details = json.loads(ask(served, "api/cases/0?reviewer=AB")[1])
            change = {"kind": "paint", "voxels": [round_], "value": rc.L5}
            body = {"reviewer": "AB", "version": details["version"]}
            status, told = ask(
                served, "api/cases/0/edit", {**body, "revision": round_, "change": change}
            )
            assert status == 200, told
            served.kill()
        rows = score_file.read(table)
        assert sorted((row.rater, row.case, row.comment) for row in rows) == sorted(
            (who, case, str(done))
            for who in reviewers
            for case in ("sub-001", "sub-002")
            for done in range(round_ + 1)
        )
    with rc.Served(tmp_path, "data/postprocessed") as served:
        details = json.loads(ask(served, "api/cases/0?reviewer=AB")[1])
        assert details["revision"] == 2
        (tmp_path / "got.nii.gz").write_bytes(
            ask(served, "api/cases/0/labels.nii.gz?reviewer=AB")[1]
        )
    corrected = read_labels(tmp_path / "got.nii.gz").data.ravel(order="F")
    assert corrected[:2].tolist() == [rc.L5, rc.L5]
    assert np.count_nonzero(corrected) == np.count_nonzero(rc.individuals()) + 2


def test_a_port_that_is_taken_is_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rc.predicted(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["review", "out", "--no-browser", "--port", str(port)]) == 2
    assert "free port" in capsys.readouterr().err
