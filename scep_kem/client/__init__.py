"""The client with its I/O: HTTP, lost answers, what is kept of an enrolment that waits."""
