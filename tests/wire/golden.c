/* SPDX-License-Identifier: BSD-3-Clause */
#include "golden.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct golden *g, uint8_t byte)
{
	ck_assert_msg(g->len < GOLDEN_MAX_LEN, "%s: too long", g->name);
	g->bytes[g->len++] = byte;
}

static void add_line(struct golden *g, const char *at)
{
	while (*at && *at != '#' && *at != '\n') {
		unsigned int byte;

		if (isspace((unsigned char)*at)) {
			at++;
		} else if (*at == '\'') {
			for (at++; *at != '\''; at++) {
				ck_assert_msg(*at, "%s: text without an end", g->name);
				add(g, (uint8_t)*at);
			}
			at++;
		} else {
			ck_assert_msg(sscanf(at, "%2x", &byte) == 1 && isxdigit((unsigned char)at[1]),
				      "%s: not hex: %s", g->name, at);
			add(g, (uint8_t)byte);
			at += 2;
		}
	}
}

struct golden *golden_load(const char *path, unsigned int *ret_n)
{
	FILE *f = fopen(path, "r");
	struct golden *all = NULL;
	unsigned int n = 0;
	char line[512];

	ck_assert_msg(f != NULL, "cannot open %s", path);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "message ", 8)) {
			all = realloc(all, (n + 1) * sizeof(*all));
			ck_assert_ptr_nonnull(all);
			all[n].len = 0;
			ck_assert_int_eq(sscanf(line, "message %63s", all[n].name), 1);
			n++;
		} else if (n) {
			add_line(&all[n - 1], line);
		}
	}
	fclose(f);
	*ret_n = n;
	return all;
}
