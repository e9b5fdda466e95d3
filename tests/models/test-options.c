/* SPDX-License-Identifier: BSD-3-Clause */
/* Specs: what is taken, and the sentence for what is not. */
#include <errno.h>
#include <string.h>

#include "models/fault.h"
#include "models/nic.h"
#include "models/parse.h"
#include "rig.h"

static void size_is(const char *text, int r, uint64_t value)
{
	uint64_t got = 0;

	ck_assert_msg(parse_size(text, &got) == r, "%s", text);
	ck_assert_msg(got == value, "%s: %llu", text, (unsigned long long)got);
}

TEST(sizes)
{
	size_is("0", 0, 0);
	size_is("512", 0, 512);
	size_is("64K", 0, 65536);
	size_is("16M", 0, 16u << 20);
	size_is("1G", 0, 1u << 30);
	size_is("2T", 0, 2ull << 40);
	size_is("18446744073709551615", 0, UINT64_MAX);
	size_is("18446744073709551616", -ERANGE, 0);
	size_is("16777215T", 0, 16777215ull << 40);
	size_is("16777216T", -ERANGE, 0);
	size_is("99999999999999999999999", -ERANGE, 0);
	for (const char *const *bad = (const char *const[]){ "", "K", "-1", "+1", " 1", "1 ", "1k", "1KB",
							     "0x10", "1.5G", "1G/s", "1GG", NULL };
	     *bad; bad++)
		size_is(*bad, -EINVAL, 0);
}

TEST(times_and_rates)
{
	uint64_t v;

	ck_assert_int_eq(parse_time_ns("50ms", &v), 0);
	ck_assert_uint_eq(v, 50000000);
	ck_assert_int_eq(parse_time_ns("7ns", &v), 0);
	ck_assert_uint_eq(v, 7);
	ck_assert_int_eq(parse_time_ns("3us", &v), 0);
	ck_assert_uint_eq(v, 3000);
	ck_assert_int_eq(parse_time_ns("2", &v), 0);
	ck_assert_uint_eq(v, 2000000000);
	ck_assert_int_eq(parse_time_ns("1m", &v), 0);
	ck_assert_uint_eq(v, 60000000000);
	ck_assert_int_eq(parse_time_ns("18446744073s", &v), 0);
	ck_assert_int_eq(parse_time_ns("18446744074s", &v), -ERANGE);
	ck_assert_int_eq(parse_time_ns("5h", &v), -EINVAL);
	ck_assert_int_eq(parse_time_ns("ms", &v), -EINVAL);
	ck_assert_int_eq(parse_rate("1G/s", &v), 0);
	ck_assert_uint_eq(v, 1u << 30);
	ck_assert_int_eq(parse_rate("64M", &v), 0);
	ck_assert_uint_eq(v, 64u << 20);
	ck_assert_int_eq(parse_rate("100/s", &v), 0);
	ck_assert_uint_eq(v, 100);
	ck_assert_int_eq(parse_rate("1G/m", &v), -EINVAL);
	ck_assert_int_eq(parse_rate("/s", &v), -EINVAL);
}

TEST(faults)
{
	struct fault f;
	const char *why;

	ck_assert_int_eq(fault_parse("RUNNING>PRE_COPY:EIO", &f, &why), 0);
	ck_assert_int_eq(f.where, FAULT_ARC);
	ck_assert_uint_eq(f.from, VMIG_STATE_RUNNING);
	ck_assert_uint_eq(f.to, VMIG_STATE_PRE_COPY);
	ck_assert_int_eq(f.code, -EIO);
	ck_assert(!f.to_error && !f.once);
	ck_assert_int_eq(fault_parse("read@64M:ENOSPC:once", &f, &why), 0);
	ck_assert_int_eq(f.where, FAULT_READ);
	ck_assert_uint_eq(f.after, 64u << 20);
	ck_assert_int_eq(f.code, -ENOSPC);
	ck_assert(f.once);
	ck_assert_int_eq(fault_parse("load:error", &f, &why), 0);
	ck_assert(f.to_error);
	ck_assert_int_eq(fault_parse("reset:hang=2s", &f, &why), 0);
	ck_assert_uint_eq(f.hang_ns, 2000000000);
	ck_assert_int_eq(f.code, 0);
	for (const char *const *bad = (const char *const[]){ "",
							     "read",
							     "read:",
							     ":EIO",
							     "read:EFOO",
							     "read:5",
							     "read:error",
							     "reset:error",
							     "reset@4K:EIO",
							     "read@:EIO",
							     "read@x:EIO",
							     "RUNNING:EIO",
							     "RUNNING>:EIO",
							     ">STOP:EIO",
							     "RUNNING>WALKING:EIO",
							     "RUNNING>STOP@4K:EIO",
							     "read:EIO:twice",
							     "read:EIO:once:once",
							     "read:hang=x",
							     "read:hang=",
							     "write:hang=99999999999",
							     NULL };
	     *bad; bad++) {
		why = NULL;
		ck_assert_msg(fault_parse(*bad, &f, &why) == -EINVAL, "%s", *bad);
		ck_assert_ptr_nonnull(why);
	}
}

/* A bad spec, and words that its sentence must have. */
static void says(const char *spec, const char *words)
{
	struct vmig_error error = { 0 };
	struct vmig_device *dev = NULL;

	ck_assert_msg(models_open(spec, &dev, &error) == -EINVAL, "%s", spec);
	ck_assert_ptr_null(dev);
	ck_assert_int_eq(error.code, EINVAL);
	ck_assert_msg(strstr(error.text, words), "%s: \"%s\" has no \"%s\"", spec, error.text, words);
	ck_assert_int_eq(models_open(spec, &dev, NULL), -EINVAL);
}

TEST(bad_specs_are_explained)
{
	char longest[2048];

	says("", "unknown model \"\"; there are: nic, accel, vgpu, serial");
	says("gpu", "unknown model \"gpu\"; there are: nic, accel, vgpu, serial");
	says("nic,speed=1", "unknown key \"speed\" of model nic; it has: state, dirty-rate, queues,");
	says("serial,queues=1",
	     "unknown key \"queues\" of model serial; it has: irq, state, dirty-rate, p2p, precopy, version, fault");
	says("nic,", "unknown key \"\"");
	says("nic,state", "key \"state\" of model nic has no value");
	says("nic,state=", "\"\" is not a size");
	says("nic,state=1X", "state of model nic: \"1X\" is not a size like 64K or 1G");
	says("nic,state=99999999999999999999", "\"99999999999999999999\" is too large");
	says("nic,state=18014398509481984T", "is too large");
	says("nic,state=2T", "is not a multiple of 4K between 4K and 1T");
	says("nic,state=0", "is not a multiple of 4K");
	says("nic,state=5000", "is not a multiple of 4K");
	says("nic,state=1M,p2p=on,state=1M", "key \"state\" of model nic is given twice");
	says("nic,dirty-rate=fast", "\"fast\" is not a rate like 64M/s");
	says("nic,dirty-rate=2T/s", "is more than 1T/s");
	says("nic,queues=0", "is not a number from 1 to 64");
	says("nic,queues=65", "is not a number from 1 to 64");
	says("nic,records=10000001", "is not a number from 0 to 10000000");
	says("nic,p2p=yes", "\"yes\" is neither on nor off");
	says("nic,fault=read", "has the form WHERE:WHAT");
	says("nic,fault=nowhere:EIO", "needs a WHERE of read, write, load");
	says("nic,fault=read:EFOO", "needs a WHAT of an errno's name");
	says("nic,fault=rule:none", "has no rule of this name");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	says(longest, "longer than 1023 bytes");
}

TEST(options_reach_the_device)
{
	struct vmig_device *dev = rig_open("nic,state=128K,queues=64,p2p=off,precopy=off");
	struct vmig_device_info info;
	struct vmig_irq irq;

	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.migration_flags, VMIG_MIGRATION_STOP_COPY);
	ck_assert_str_eq(info.identity, "pci:1b36:0fe0/nic");
	ck_assert_uint_eq(info.has, VMIG_HAS_TAG | VMIG_HAS_STOP_COPY_SIZE | VMIG_HAS_DMA_LOG);
	ck_assert_uint_eq(rig_register(dev, NIC_STATE_SIZE), 128u << 10);
	ck_assert_uint_eq(rig_register(dev, NIC_QUEUES), 64);
	ck_assert_int_eq(vmig_device_query_irq(dev, 2, &irq), 0);
	ck_assert_uint_eq(irq.count, 64);
	vmig_device_close(dev);
	dev = rig_open("nic");
	vmig_device_query_info(dev, &info);
	ck_assert_uint_eq(info.migration_flags, 7);
	ck_assert(info.traits & VMIG_TRAIT_INFO_STARTS_ROUND && info.traits & VMIG_TRAIT_LENDS &&
		  info.traits & VMIG_TRAIT_ROOMS);
	ck_assert(info.has & VMIG_HAS_REINIT && info.has & VMIG_HAS_PRECOPY_INFO);
	ck_assert_uint_eq(rig_register(dev, NIC_STATE_SIZE), 16u << 20);
	vmig_device_close(dev);
}

TEST(the_list_is_what_there_is)
{
	int n = 0;

	for (const struct model_info *m = models_list(); m->name; m++, n++) {
		ck_assert_ptr_nonnull(models_keys(m->name));
		vmig_device_close(rig_open(m->name));
	}
	ck_assert_int_eq(n, 4);
	ck_assert_ptr_null(models_keys("gpu"));
}

HARNESS("options", T(sizes), T(times_and_rates), T(faults), T(bad_specs_are_explained),
	T(options_reach_the_device), T(the_list_is_what_there_is))
