from fastapi import FastAPI


def add_pages(app: FastAPI) -> None: ...
