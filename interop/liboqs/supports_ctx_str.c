/*
 * liboqs-python 0.16 sets the result type of OQS_SIG_supports_ctx_str when it is imported, and liboqs 0.13, the newest
 * in the crate registry, has no such function. This object is linked into the library that `build` makes. Its answer,
 * that no signature algorithm takes a context string, is true there: that library has no signature algorithms.
 */
#include <stdbool.h>

__attribute__((visibility("default"))) bool OQS_SIG_supports_ctx_str(const char *algorithm);

bool OQS_SIG_supports_ctx_str(const char *algorithm)
{
	(void)algorithm;
	return false;
}
