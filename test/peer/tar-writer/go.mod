module tar-writer

go 1.19
