/* SPDX-License-Identifier: BSD-3-Clause */
#include "left.h"

#include <stddef.h>
#include <sys/mman.h>

struct check_result *check_left_new(void)
{
	struct check_result *left =
		mmap(NULL, sizeof(*left), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return left == MAP_FAILED ? NULL : left;
}

void check_left_free(struct check_result *left)
{
	if (left)
		munmap(left, sizeof(*left));
}

/* --- texts --------------------------------------------------------------------------------------- */

struct range {
	unsigned char from, to;
};

/* The second byte after a first one: no overlong forms, no surrogates, nothing over U+10FFFF. 0..0: no such first byte. */
static struct range second_of(unsigned char first)
{
	switch (first) {
	case 0xe0:
		return (struct range){ 0xa0, 0xbf };
	case 0xed:
		return (struct range){ 0x80, 0x9f };
	case 0xf0:
		return (struct range){ 0x90, 0xbf };
	case 0xf4:
		return (struct range){ 0x80, 0x8f };
	default:
		return first >= 0xc2 && first < 0xf5 ? (struct range){ 0x80, 0xbf } : (struct range){ 0, 0 };
	}
}

/* Of a printable character at @s; 0: it is none. A control character is none, nor is one of Unicode's (U+0080 to U+009f). */
static size_t char_len(const unsigned char *s)
{
	size_t len = *s < 0x80 ? 1 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
	struct range second;

	if (len == 1)
		return *s >= ' ' && *s != 0x7f;
	second = second_of(*s);
	if (s[1] < second.from || s[1] > second.to || !second.to || (*s == 0xc2 && s[1] < 0xa0))
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

/* U+202A to U+202E and U+2066 to U+2069 turn the direction of the text around them; U+FFFE and U+FFFF are none in XML. */
static bool is_unwanted(const unsigned char *s)
{
	if (s[0] == 0xef)
		return s[1] == 0xbf && s[2] >= 0xbe;
	return s[0] == 0xe2 && ((s[1] == 0x80 && s[2] >= 0xaa && s[2] <= 0xae) ||
				(s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9));
}

void check_text_clean(char *text)
{
	for (unsigned char *s = (unsigned char *)text; *s;) {
		size_t len = char_len(s);

		if (!len || is_unwanted(s))
			*s++ = '?';
		else
			s += len;
	}
}

static void clean(char text[CHECK_TEXT_MAX])
{
	text[CHECK_TEXT_MAX - 1] = '\0';
	check_text_clean(text);
}

/* --- transitions --------------------------------------------------------------------------------- */

static void known_state(uint32_t *state)
{
	if (*state >= VMIG_STATE_NR)
		*state = VMIG_STATE_NONE;
}

static void in_range(struct check_arc *arc, uint64_t elapsed_ns)
{
	bool reset = *(const unsigned char *)&arc->reset, second = *(const unsigned char *)&arc->second;

	known_state(&arc->from);
	known_state(&arc->to);
	known_state(&arc->then);
	arc->reset = reset;
	arc->second = second;
	if (arc->came >= CHECK_CAMES)
		arc->came = CHECK_CAME_NOT;
	if (arc->error > 0 || arc->error < -4095)
		arc->error = 0;
	if (arc->at_ns > elapsed_ns)
		arc->at_ns = elapsed_ns;
	if (arc->came == CHECK_CAME_NOT || arc->ns > elapsed_ns - arc->at_ns)
		arc->ns = elapsed_ns - arc->at_ns;
}

void check_left_take(const struct check_result *left, uint64_t elapsed_ns, struct check_result *ret)
{
	*ret = *left;
	if ((unsigned int)ret->verdict >= CHECK_VERDICTS)
		ret->verdict = CHECK_ERROR;
	clean(ret->did);
	clean(ret->saw);
	clean(ret->expected);
	for (uint32_t i = 0; i < check_arcs_kept(ret); i++)
		in_range(&ret->arcs[i], elapsed_ns);
}
