/* SPDX-License-Identifier: BSD-3-Clause */
/* A file is read twice: before the first byte goes to a device all of it is known to be whole. */
#include <vmig/stream.h>

#include "base/fault.h"
#include "engine/driver.h"

static void free_readerp(struct vmig_stream_reader **reader)
{
	vmig_stream_reader_free(*reader);
}

int vmig_driver_scan(struct vmig_channel *channel, struct vmig_error *error)
{
	__attribute__((cleanup(free_readerp))) struct vmig_stream_reader *reader = NULL;
	struct vmig_stream_record record;
	int r = vmig_stream_reader_new(channel, &reader);

	if (r)
		return vmig_fault(error, r, "stream", "no memory to read it");
	while ((r = vmig_stream_reader_next(reader, &record, error)) > 0)
		;
	if (r)
		return r;
	r = vmig_channel_rewind(channel);
	return r ? vmig_fault(error, r, "stream", "it cannot be read again from the start") : 0;
}
