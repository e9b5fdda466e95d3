/* SPDX-License-Identifier: BSD-3-Clause */
/* A migration region that says anything: each check of it comes to an end, and says something. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/check.h"
#include "handle/provider.h"
#include "models/models.h"
#include "tests/harness.h"

#define SECTION     4096u
#define TIMEOUT_MS  60000
#define STATE       0u
#define PENDING     8u
#define DATA_OFFSET 16u
#define DATA_SIZE   24u

/* One register reads so, always. */
struct says {
	uint64_t offset, value;
};

struct liar {
	struct vmig_device *inner;
	const struct says *says;
	uint32_t index; /* of the region */
};

static void liar_close(void *p)
{
	struct liar *l = p;

	vmig_device_close(l->inner);
	free(l);
}

static int liar_reset(void *p, struct vmig_error *error)
{
	return vmig_device_reset(((struct liar *)p)->inner);
}

static int liar_query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	return vmig_device_query_region(((struct liar *)p)->inner, index, ret);
}

static int liar_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
		     struct vmig_error *error)
{
	struct liar *l = p;
	int r = vmig_device_region_read(l->inner, index, offset, buf, len);

	if (index == l->index && offset == l->says->offset && len <= sizeof(l->says->value)) {
		memcpy(buf, &l->says->value, len);
		return 0;
	}
	return r;
}

static int liar_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
		      struct vmig_error *error)
{
	return vmig_device_region_write(((struct liar *)p)->inner, index, offset, buf, len);
}

static const struct vmig_provider_ops ops = { .close = liar_close,
					      .reset = liar_reset,
					      .query_region = liar_query_region,
					      .region_read = liar_read,
					      .region_write = liar_write };

static int open_liar(void *opaque, bool second, struct vmig_device **ret, char *why, size_t why_size)
{
	const struct vmig_v1_config config = { .section_size = SECTION };
	struct liar *l = calloc(1, sizeof(*l));
	struct vmig_device_info info;
	struct vmig_error error;
	int r = models_open_v1("nic,state=16K", &config, &l->inner, &error);

	if (r) {
		snprintf(why, why_size, "%s", error.text);
		free(l);
		return r;
	}
	vmig_device_query_info(l->inner, &info);
	l->says = opaque;
	l->index = info.n_regions - 1;
	return vmig_device_new(&ops, l, &info, ret);
}

static void meet_all(const struct says *says)
{
	const struct check_target target = { .open_region = open_liar,
					     .opaque = (void *)says,
					     .has_second = true,
					     .dangerous = true,
					     .timeout_ms = TIMEOUT_MS };
	unsigned int n_failed = 0;

	for (const struct check *check = check_table; check->id; check++) {
		static struct check_result result;

		if (!(check->needs & CHECK_BY_REGION))
			continue;
		check_run(&target, check, &result);
		ck_assert_msg(result.verdict != CHECK_HANG && !strstr(result.saw, "killed"),
			      "%llu says %#llx: %s: %s", (unsigned long long)says->offset,
			      (unsigned long long)says->value, check->id, result.saw);
		n_failed += result.verdict == CHECK_FAIL || result.verdict == CHECK_ERROR;
	}
	ck_assert_uint_gt(n_failed, 0);
}

TEST(every_check_ends_whatever_the_registers_say)
{
	static const struct says all[] = { { STATE, 0xffffffff },
					   { STATE, 5 },
					   { STATE, 2 },
					   { PENDING, 1 },
					   { PENDING, UINT64_MAX },
					   { DATA_OFFSET, 0 },
					   { DATA_OFFSET, UINT64_MAX },
					   { DATA_OFFSET, SECTION },
					   { DATA_SIZE, 0 },
					   { DATA_SIZE, UINT64_MAX },
					   { DATA_SIZE, UINT64_MAX - SECTION } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		meet_all(&all[i]);
}

HARNESS("check-v1-hostile", T_SLOW(every_check_ends_whatever_the_registers_say, 120))
