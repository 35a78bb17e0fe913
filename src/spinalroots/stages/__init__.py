"""One short module per DVC stage: read, call, write. Each has `main(params)`, and a matrix stage's
`main(params, key)`; `spinalroots stage NAME [KEY]` runs it."""
