"""Run folders as tables and one page; comparison of evaluations; the page of the quality of labels."""
