"""The responder with its I/O: the program around one `scep.responder.Responder` a profile, and HTTP."""
