"""`python -m nmt_cli`: the `nmt` command without its script."""

from nmt_cli.main import app

if __name__ == "__main__":
    app(prog_name="nmt")
