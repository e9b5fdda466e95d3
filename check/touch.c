/* SPDX-License-Identifier: BSD-3-Clause */
/* A register that the user of the suite has named: is it in what is saved? Of a device that nobody here knows, no other is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

static void read_it(struct check_context *c, struct vmig_device *dev, uint8_t *to)
{
	const struct check_touch *t = c->target->touch;
	int r = vmig_device_region_read(dev, t->region, t->offset, to, t->len);

	if (r)
		check_end(c, CHECK_ERROR, "what is to be touched can be read", "%s", strerror(-r));
}

/* Write and read back, as a register need not keep all bits. */
void check_touch(struct check_context *c, struct vmig_device *dev, uint8_t *ret)
{
	const struct check_touch *t = c->target->touch;
	int r = vmig_device_region_write(dev, t->region, t->offset, t->bytes, t->len);

	if (r)
		check_end(c, CHECK_ERROR, "what is to be touched can be written", "%s", strerror(-r));
	read_it(c, dev, ret);
}

/* Something else, if the device takes it, so that what was touched can only come with the data. */
void check_touch_otherwise(struct check_context *c, struct vmig_device *dev, uint8_t *ret)
{
	const struct check_touch *t = c->target->touch;
	uint8_t bytes[CHECK_TOUCH_MAX];

	for (uint32_t i = 0; i < t->len; i++)
		bytes[i] = t->bytes[i] ^ 0xff;
	(void)vmig_device_region_write(dev, t->region, t->offset, bytes, t->len);
	read_it(c, dev, ret);
}

static const char *hex(char *to, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		snprintf(to + (size_t)2 * i, 3, "%02x", bytes[i]);
	return to;
}

void check_touched(struct check_context *c)
{
	const struct check_touch *t = c->target->touch;
	uint8_t touched[CHECK_TOUCH_MAX], other[CHECK_TOUCH_MAX], is[CHECK_TOUCH_MAX];
	char text[2 * CHECK_TOUCH_MAX + 1], wanted[64 + sizeof(text)];
	struct vmig_device *to = c->target->has_second ? check_second(c) : c->dev;
	struct check_bytes a;
	int r;

	check_to_running(c, to);
	check_touch(c, c->dev, touched);
	check_did(c, "wrote to region %u at %#llx, saved the device", t->region,
		  (unsigned long long)t->offset);
	check_go(c, VMIG_STATE_STOP);
	check_save(c, 65536, &a);
	check_to_running(c, c->dev);
	check_touch_otherwise(c, to, other);
	if (!memcmp(other, touched, t->len))
		check_end(c, CHECK_SKIPPED, "", "it is %s, whatever is written", hex(text, other, t->len));
	check_did(c, "wrote to region %u at %#llx, saved the device, and loaded that (%zu bytes) into %s",
		  t->region, (unsigned long long)t->offset, a.len,
		  to == c->dev ? "it again" : "the second one");
	r = check_load(c, to, a.data, a.len, 65536);
	if (!r)
		r = vmig_device_set_state(to, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL);
	free(a.data);
	if (r)
		check_fail(c, "what was saved is loaded, and runs", "%s", strerror(-r));
	read_it(c, to, is);
	snprintf(wanted, sizeof(wanted), "%s is there, as it was when saved", hex(text, touched, t->len));
	if (memcmp(is, touched, t->len))
		check_fail(c, wanted, "%s", hex(text, is, t->len));
}
