"""Scans, label maps and surfaces in a browser: what the report and the review page share.

:mod:`spinalroots.viewer.page` gives the scripts and styles that go into a page,
:mod:`spinalroots.viewer.content` turns volumes and surfaces into what they show. Drawing is
NiiVue's (`vendor/`, renewed by `bin/vendor-niivue`); `assets/viewer.js` is ours.
"""
