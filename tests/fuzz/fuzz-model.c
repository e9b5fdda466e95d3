/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz-model: what the reference devices load. Byte 0 chooses the model and how the rest is meant: as a stream, or as edits
 * of a good one (offset, value, ...), so that the checks behind the first one are reached too. Byte 1 is the size of the pieces.
 * Whatever comes: no crash, no hang, and a reset leads back to RUNNING.
 */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

#include <vmig/device.h>

#include "models/models.h"

#define STREAM_MAX (64u << 10)

static struct {
	const char *spec;
	struct vmig_device *dev;
	uint8_t good[STREAM_MAX]; /* what an untouched device saves */
	size_t good_len;
} models[] = { { .spec = "nic,state=8K" }, { .spec = "serial" }, { .spec = "accel,state=8K" } };
#define N_MODELS (int)(sizeof(models) / sizeof(models[0]))

static void save_good(int i)
{
	struct vmig_session *session;
	struct iovec iov;
	ssize_t n;

	MUST(!vmig_device_set_state(models[i].dev, VMIG_STATE_STOP_COPY, VMIG_STATE_NONE, &session));
	do {
		iov = (struct iovec){ models[i].good + models[i].good_len, STREAM_MAX - models[i].good_len };
		n = vmig_session_readv(session, &iov, 1);
		MUST(n >= 0);
		models[i].good_len += (size_t)n;
	} while (n);
	vmig_session_close(session);
	MUST(!vmig_device_set_state(models[i].dev, VMIG_STATE_RUNNING, VMIG_STATE_NONE, NULL));
}

static void open_models(void)
{
	for (int i = 0; i < N_MODELS; i++) {
		if (models[i].dev)
			continue;
		MUST(!models_open(models[i].spec, &models[i].dev, NULL));
		save_good(i);
	}
}

static size_t make_stream(int i, bool edits, const uint8_t *data, size_t size, uint8_t *out)
{
	size_t len;

	if (!edits) {
		len = size < STREAM_MAX ? size : STREAM_MAX;
		memcpy(out, data, len);
		return len;
	}
	len = models[i].good_len;
	memcpy(out, models[i].good, len);
	for (; size >= 3; data += 3, size -= 3)
		out[(data[0] | data[1] << 8) % len] = data[2];
	/* One byte that is left cuts the stream. */
	return size == 1 ? len - data[0] % len : len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t stream[STREAM_MAX];
	struct vmig_session *session;
	size_t len, piece;
	uint32_t state;
	int i, r = 0;

	if (size < 2)
		return 0;
	open_models();
	i = data[0] & 4 ? 2 : data[0] & 1;
	len = make_stream(i, data[0] & 2, data + 2, size - 2, stream);
	piece = data[1] ? data[1] : len;
	MUST(!vmig_device_set_state(models[i].dev, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &session));
	for (size_t at = 0; at < len && !r; at += piece) {
		struct iovec iov = { stream + at, piece < len - at ? piece : len - at };

		r = vmig_session_writev(session, &iov, 1);
	}
	/* What the device has refused, or was not given whole, must not run. */
	if (!r)
		r = vmig_device_set_state(models[i].dev, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);
	vmig_session_close(session);
	if (len < models[i].good_len && !memcmp(stream, models[i].good, len))
		MUST(r < 0);
	MUST(!vmig_device_reset(models[i].dev));
	MUST(!vmig_device_query_state(models[i].dev, &state) && state == VMIG_STATE_RUNNING);
	return 0;
}

#ifdef REPLAY_END
/* The replay has no end of its own for what is kept from one input to the next. */
__attribute__((destructor)) static void close_models(void)
{
	for (int i = 0; i < N_MODELS; i++)
		vmig_device_close(models[i].dev);
}
#endif
