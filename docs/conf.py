"""How the documents are built: `make docs`."""

from importlib.metadata import version as installed

project = "streamscore"
release = version = installed("streamscore")
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "streamscore"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository, which are no pages
