/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmig/uuid.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* Where a sandbox or an old kernel has no getrandom(): at least not the same twice on one machine. */
static void make_do(struct vmig_uuid *uuid)
{
	static _Atomic uint32_t count;
	struct timespec now;
	uint64_t t;
	uint32_t who = (uint32_t)getpid(), n = ++count;

	clock_gettime(CLOCK_REALTIME, &now);
	t = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	memcpy(uuid->bytes, &t, sizeof(t));
	memcpy(uuid->bytes + 8, &who, sizeof(who));
	memcpy(uuid->bytes + 12, &n, sizeof(n));
}

void vmig_uuid_new(struct vmig_uuid *ret)
{
	struct vmig_uuid uuid;
	ssize_t n;

	do
		n = getrandom(uuid.bytes, sizeof(uuid.bytes), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(uuid.bytes))
		make_do(&uuid);
	uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40);
	uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80);
	*ret = uuid;
}

static bool dash_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int vmig_uuid_parse(const char *text, struct vmig_uuid *ret)
{
	struct vmig_uuid uuid;

	for (int i = 0; i < 16; i++) {
		int high, low;

		if (dash_before(i) && *text++ != '-')
			return -EINVAL;
		high = digit(text[0]);
		low = high < 0 ? -1 : digit(text[1]);
		if (low < 0)
			return -EINVAL;
		uuid.bytes[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text)
		return -EINVAL;
	*ret = uuid;
	return 0;
}

const char *vmig_uuid_text(const struct vmig_uuid *uuid, char ret[VMIG_UUID_TEXT_MAX])
{
	static const char digits[] = "0123456789abcdef";
	char *at = ret;

	for (int i = 0; i < 16; i++) {
		if (dash_before(i))
			*at++ = '-';
		*at++ = digits[uuid->bytes[i] >> 4];
		*at++ = digits[uuid->bytes[i] & 15];
	}
	*at = '\0';
	return ret;
}

bool vmig_uuid_is_none(const struct vmig_uuid *uuid)
{
	static const struct vmig_uuid none;

	return vmig_uuid_equal(uuid, &none);
}

bool vmig_uuid_equal(const struct vmig_uuid *a, const struct vmig_uuid *b)
{
	return !memcmp(a, b, sizeof(*a));
}
