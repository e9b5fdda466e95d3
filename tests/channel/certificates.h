/* SPDX-License-Identifier: BSD-3-Clause */
/** certificates - made for one test, in its folder: nothing in the tree that expires. */
#ifndef VMIG_TESTS_CERTIFICATES_H
#define VMIG_TESTS_CERTIFICATES_H

#include <stdbool.h>

struct certificate {
	const char *file;   /* FOLDER/file.pem and FOLDER/file.key are written */
	const char *name;   /* DNS; NULL: none */
	const char *ip;     /* NULL: none */
	const char *signer; /* the "file" of one made before in this process; NULL: by itself */
	bool ca;
	bool server_only;  /* its purpose */
	long from_s, to_s; /* validity, relative to now; both 0: an hour around it */
};

void make_certificate(const char *folder, const struct certificate *c);
/** FOLDER/file with this text, and this mode. */
void make_file(const char *folder, const char *file, const char *text, unsigned int mode);
void forget_certificates(void);

#endif
