/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz-words: what a person writes: sizes, times, rates, a model's options, an address. */
#include "fuzz.h"

#include <string.h>

#include <vmig/channel.h>

#include "channel/address.h"
#include "models/models.h"
#include "models/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct vmig_address address;
	struct vmig_error error;
	uint64_t value;

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	(void)!parse_size(text, &value);
	(void)!parse_time_ns(text, &value);
	(void)!parse_rate(text, &value);
	if (vmig_address_parse(text, &address, &error) < 0)
		MUST(error.code && memchr(error.text, '\0', sizeof(error.text)));
	/* Only what is refused: a model that opens would start threads for each input. */
	if (size && text[0] == '?') {
		struct vmig_device *dev = NULL;

		if (!models_open(text + 1, &dev, &error))
			vmig_device_close(dev);
	}
	free(text);
	return 0;
}
