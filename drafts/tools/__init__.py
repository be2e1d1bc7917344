"""What makes the document, the examples and the vectors out of the code."""

from pathlib import Path

DRAFTS = Path(__file__).resolve().parent.parent
