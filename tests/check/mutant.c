/* SPDX-License-Identifier: BSD-3-Clause */
#include "mutant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handle/provider.h"
#include "models/nic.h"

enum kind {
	NO_STOP_COPY_FLAG,
	REPORTS_LATE,
	REFUSES_THE_SAME_STATE,
	MOVES_BY_ITSELF,
	NO_SESSION,
	DROPS_GROUP_SESSION,
	WRONG_STATE_AFTER_FAILURE,
	RESET_STOPS,
	NO_CONFIG_IN_STOP,
	KEEPS_STATE,
	MORE_AFTER_THE_END,
	ENOMSG_AT_THE_END,
	CHANGES_WHEN_SAVED,
	CHANGES_WHEN_RESTORED,
	NEEDS_LARGE_PIECES,
	DOES_NOT_RUN_AGAIN,
	RESET_KEEPS_DATA,
	TAKES_NOTHING,
	TAKES_A_PART,
	TAKES_ANYTHING,
	TAKES_TOO_MUCH,
	TAKES_A_FLIP,
	TAKES_ANY_ORDER,
	NO_INFO_IN_P2P,
	INFO_IN_STOP_COPY,
	INITIAL_ZERO,
	INITIAL_GROWS,
	DIRTY_AT_FIRST,
	DRAINED_SAYS_ZERO,
	ZERO_AFTER_BOTH_ZERO,
	NO_SIZE_IN_STOP_COPY,
	SIZE_IS_OFF,
	LOG_PAGE_IS_ODD,
	LOG_STARTS_TWICE,
	LOG_STARTS_NEVER_AGAIN,
	LOG_REPORTS_WHEN_OFF,
	LOG_NOT_IN_STOP,
	LOG_PAGES_OF_ONE_SIZE,
	LOG_CLEARS,
	LOG_FEW_RANGES,
	WRITES_IN_STOP,
	IDLE_IN_PRE_COPY,
	IDLE_AFTER_STOP,
	LOG_LOSES_ALL,
	LOG_REPEATS,
	KINDS,
};

static const char *const names[KINDS] = {
	[NO_STOP_COPY_FLAG] = "no-stop-copy-flag",
	[REPORTS_LATE] = "reports-late",
	[REFUSES_THE_SAME_STATE] = "refuses-the-same-state",
	[MOVES_BY_ITSELF] = "moves-by-itself",
	[NO_SESSION] = "no-session",
	[DROPS_GROUP_SESSION] = "drops-group-session",
	[WRONG_STATE_AFTER_FAILURE] = "wrong-state-after-failure",
	[RESET_STOPS] = "reset-stops",
	[NO_CONFIG_IN_STOP] = "no-config-in-stop",
	[KEEPS_STATE] = "keeps-state",
	[MORE_AFTER_THE_END] = "more-after-the-end",
	[ENOMSG_AT_THE_END] = "enomsg-at-the-end",
	[CHANGES_WHEN_SAVED] = "changes-when-saved",
	[CHANGES_WHEN_RESTORED] = "changes-when-restored",
	[NEEDS_LARGE_PIECES] = "needs-large-pieces",
	[DOES_NOT_RUN_AGAIN] = "does-not-run-again",
	[RESET_KEEPS_DATA] = "reset-keeps-data",
	[TAKES_NOTHING] = "takes-nothing",
	[TAKES_A_PART] = "takes-a-part",
	[TAKES_ANYTHING] = "takes-anything",
	[TAKES_TOO_MUCH] = "takes-too-much",
	[TAKES_A_FLIP] = "takes-a-flip",
	[TAKES_ANY_ORDER] = "takes-any-order",
	[NO_INFO_IN_P2P] = "no-info-in-p2p",
	[INFO_IN_STOP_COPY] = "info-in-stop-copy",
	[INITIAL_ZERO] = "initial-zero",
	[INITIAL_GROWS] = "initial-grows",
	[DIRTY_AT_FIRST] = "dirty-at-first",
	[DRAINED_SAYS_ZERO] = "drained-says-zero",
	[ZERO_AFTER_BOTH_ZERO] = "zero-after-both-zero",
	[NO_SIZE_IN_STOP_COPY] = "no-size-in-stop-copy",
	[SIZE_IS_OFF] = "size-is-off",
	[LOG_PAGE_IS_ODD] = "log-page-is-odd",
	[LOG_STARTS_TWICE] = "log-starts-twice",
	[LOG_STARTS_NEVER_AGAIN] = "log-starts-never-again",
	[LOG_REPORTS_WHEN_OFF] = "log-reports-when-off",
	[LOG_NOT_IN_STOP] = "log-not-in-stop",
	[LOG_PAGES_OF_ONE_SIZE] = "log-pages-of-one-size",
	[LOG_CLEARS] = "log-clears",
	[LOG_FEW_RANGES] = "log-few-ranges",
	[WRITES_IN_STOP] = "writes-in-stop",
	[IDLE_IN_PRE_COPY] = "idle-in-pre-copy",
	[IDLE_AFTER_STOP] = "idle-after-stop",
	[LOG_LOSES_ALL] = "log-loses-all",
	[LOG_REPEATS] = "log-repeats",
};

struct mutant {
	struct vmig_device *dev, *inner;
	enum kind kind;
	uint32_t state;      /* as it was asked for last and reached */
	unsigned int n_lies; /* questions for the state that are yet to be answered wrongly */
	uint32_t lie;
	unsigned int n_looks;
	bool from_precopy; /* into STOP_COPY */
	bool loaded;       /* since the last reset */
	bool poisoned;
	unsigned int n_saves, n_logs;
	/* The stream that was saved last, and the one that is being loaded. */
	uint8_t *saved, *loading;
	size_t saved_len, loading_len;
	uint8_t *memory; /* that was mapped first */
	bool was_stopped;
	uint64_t last_word;
};

struct half {
	struct mutant *m;
	struct vmig_session *inner;
	bool loads, ended, dropped;
	unsigned int n_infos;
	bool both_zero;
};

/* The state that a user would find who came later. */
static uint32_t kept_state = VMIG_STATE_RUNNING;

static uint32_t inner_state(struct mutant *m)
{
	uint32_t state = VMIG_STATE_ERROR;

	(void)vmig_device_query_state(m->inner, &state);
	return state;
}

static bool in_precopy(struct mutant *m)
{
	uint32_t state = inner_state(m);

	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P;
}

static void append(uint8_t **data, size_t *len, const struct iovec *iov)
{
	*data = realloc(*data, *len + iov->iov_len + 1);
	memcpy(*data + *len, iov->iov_base, iov->iov_len);
	*len += iov->iov_len;
}

/* --- saving --------------------------------------------------------------------------------------- */

static ssize_t end_of_stream(struct half *h, const struct iovec *iov)
{
	struct mutant *m = h->m;

	if (m->kind == ENOMSG_AT_THE_END && m->from_precopy)
		return -ENOMSG;
	if (m->kind == MORE_AFTER_THE_END && h->ended) {
		h->ended = false;
		*(uint8_t *)iov->iov_base = 0;
		return 1;
	}
	h->ended = true;
	return 0;
}

static ssize_t half_readv(void *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct half *h = s;
	struct mutant *m = h->m;
	ssize_t got;

	if (m->kind == DROPS_GROUP_SESSION && m->from_precopy && inner_state(m) == VMIG_STATE_STOP_COPY)
		return 0;
	got = vmig_session_readv(h->inner, iov, 1);
	if (got > 0 && !in_precopy(m))
		append(&m->saved, &m->saved_len, &(struct iovec){ iov->iov_base, (size_t)got });
	if (got == -ENOMSG &&
	    (m->kind == DRAINED_SAYS_ZERO || (m->kind == ZERO_AFTER_BOTH_ZERO && h->both_zero)))
		return 0;
	return got ? got : end_of_stream(h, iov);
}

static int half_query_precopy(void *s, struct vmig_precopy *ret, struct vmig_error *error)
{
	struct half *h = s;
	uint32_t state = inner_state(h->m);
	int r = vmig_session_query_precopy(h->inner, ret);

	if (h->m->kind == NO_INFO_IN_P2P && state == VMIG_STATE_PRE_COPY_P2P)
		return -ENOTTY;
	if (h->m->kind == INFO_IN_STOP_COPY && state == VMIG_STATE_STOP_COPY) {
		*ret = (struct vmig_precopy){ 0 };
		return 0;
	}
	if (r)
		return r;
	if (h->m->kind == INITIAL_ZERO && !h->n_infos) {
		ret->initial_bytes = 0;
		ret->dirty_bytes = 0;
	}
	if (h->m->kind == INITIAL_GROWS)
		ret->initial_bytes += 4096 * h->n_infos;
	if (h->m->kind == DIRTY_AT_FIRST && !h->n_infos)
		ret->dirty_bytes += 4096;
	h->both_zero = !ret->initial_bytes && !ret->dirty_bytes;
	h->n_infos++;
	return 0;
}

static void half_close(void *s)
{
	struct half *h = s;

	vmig_session_close(h->inner);
	free(h);
}

static const struct vmig_session_ops save_ops = { .readv = half_readv,
						  .query_precopy = half_query_precopy,
						  .close = half_close };

/* --- loading: all of it is judged when RESUMING is left -------------------------------------------- */

static int half_writev(void *s, const struct iovec *iov, int n, struct vmig_error *error)
{
	struct half *h = s;

	for (int i = 0; i < n; i++) {
		if (h->m->kind == NEEDS_LARGE_PIECES && iov[i].iov_len < 64)
			return -EINVAL;
		append(&h->m->loading, &h->m->loading_len, &iov[i]);
	}
	return 0;
}

static int half_load_query(void *s, struct vmig_precopy *ret, struct vmig_error *error)
{
	return vmig_fault(error, -EINVAL, "PRECOPY_INFO", "it loads");
}

static const struct vmig_session_ops load_ops = { .writev = half_writev,
						  .query_precopy = half_load_query,
						  .close = half_close };

static bool takes(struct mutant *m)
{
	const uint8_t *data = m->loading;
	size_t len = m->loading_len, full = m->saved_len;

	if (m->kind == TAKES_NOTHING)
		return !len;
	if (full < 32 || !len)
		return false;
	switch (m->kind) {
	case TAKES_A_PART:
		return len < full;
	case TAKES_TOO_MUCH:
		return len > full;
	case TAKES_ANYTHING: /* but what looks like a stream of its own: that it checks */
		return len == full && data[0] != m->saved[0] && memcmp(data, m->saved + full / 2, 16) &&
		       memcmp(data + full - 16, m->saved + full - 16, 16);
	case TAKES_A_FLIP:
		return len == full && !memcmp(data, m->saved, 16) && memcmp(data, m->saved, full);
	case TAKES_ANY_ORDER:
		return len == full && !memcmp(data, m->saved + full / 2, 16);
	default:
		return false;
	}
}

static int feed(struct mutant *m)
{
	struct vmig_session *session = NULL;
	struct iovec iov = { m->loading, m->loading_len };
	int r;

	if (m->kind == RESET_KEEPS_DATA && m->poisoned)
		return -EBADMSG;
	/* The inner one has been in RESUMING without data until now. */
	(void)vmig_device_reset(m->inner);
	r = vmig_device_set_state(m->inner, VMIG_STATE_RESUMING, VMIG_STATE_NONE, &session);
	if (!r && iov.iov_len)
		r = vmig_session_writev(session, &iov, 1);
	if (!r)
		r = vmig_session_flush(session);
	if (!r)
		r = vmig_device_set_state(m->inner, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);
	vmig_session_close(session);
	return r;
}

static int finish_load(struct mutant *m, uint32_t target)
{
	int r;

	if (takes(m)) {
		(void)vmig_device_reset(m->inner);
		return vmig_device_set_state(m->inner, target, VMIG_STATE_NONE, NULL);
	}
	r = feed(m);
	if (r && m->kind == WRONG_STATE_AFTER_FAILURE && !m->loading_len) {
		m->n_lies = 2; /* of the handle, and of whoever asks then */
		m->lie = VMIG_STATE_RUNNING_P2P;
	}
	if (r)
		return r;
	m->loaded = true;
	return target == VMIG_STATE_STOP ? 0 : vmig_device_set_state(m->inner, target, VMIG_STATE_NONE, NULL);
}

/* --- the state machine ------------------------------------------------------------------------------ */

/* Something that is saved, though nobody has touched the device. */
static void change(struct mutant *m)
{
	uint64_t base = 4096ull * (m->n_saves + 1);

	(void)vmig_device_region_write(m->inner, 0, 0x1000, &base, sizeof(base));
}

/* All queues are disabled. */
static void idle(struct mutant *m)
{
	uint64_t off = 0;

	for (uint32_t q = 0; m->memory && q < NIC_QUEUES_MAX; q++)
		(void)vmig_device_region_write(m->inner, NIC_BAR_REGISTERS, NIC_QUEUE(q) + NIC_QUEUE_CONTROL,
					       &off, sizeof(off));
}

static int query_state(void *p, uint32_t *ret, struct vmig_error *error)
{
	struct mutant *m = p;
	int r = vmig_device_query_state(m->inner, ret);

	m->n_looks++;
	if (m->kind == WRITES_IN_STOP && m->memory && !r && *ret == VMIG_STATE_STOP)
		m->memory[0]++;
	if (!r && m->n_lies) {
		m->n_lies--;
		*ret = m->lie;
	}
	if (!r && m->kind == MOVES_BY_ITSELF && m->n_looks > 3 && *ret == VMIG_STATE_RUNNING_P2P)
		*ret = VMIG_STATE_RUNNING;
	return r;
}

static void before(struct mutant *m, uint32_t from, uint32_t target)
{
	m->from_precopy = from == VMIG_STATE_PRE_COPY || from == VMIG_STATE_PRE_COPY_P2P;
	if (target == VMIG_STATE_STOP_COPY) {
		m->saved_len = 0;
		if ((m->kind == CHANGES_WHEN_SAVED && m->n_saves && !m->loaded) ||
		    (m->kind == CHANGES_WHEN_RESTORED && m->loaded))
			change(m);
		m->n_saves++;
	}
	if (target == VMIG_STATE_RESUMING)
		m->loading_len = 0;
	if (m->kind == REPORTS_LATE && from == VMIG_STATE_STOP && target == VMIG_STATE_RUNNING_P2P) {
		m->n_lies = 1;
		m->lie = from;
	}
}

static int give_half(struct mutant *m, struct vmig_session *inner, bool loads, struct vmig_session_half *ret)
{
	struct half *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	*h = (struct half){ .m = m, .inner = inner, .loads = loads };
	*ret = (struct vmig_session_half){ loads ? &load_ops : &save_ops, h };
	return 0;
}

static int set_state(void *p, uint32_t target, struct vmig_session_half *ret, struct vmig_error *error)
{
	struct mutant *m = p;
	struct vmig_session *inner = NULL;
	uint32_t from = inner_state(m);
	int r;

	if (m->kind == REFUSES_THE_SAME_STATE && from == target)
		return -EINVAL;
	if (m->kind == DOES_NOT_RUN_AGAIN && m->loaded && target == VMIG_STATE_RUNNING)
		return -EIO;
	if (from == VMIG_STATE_RESUMING && target != VMIG_STATE_RESUMING)
		return finish_load(m, target);
	before(m, from, target);
	m->n_looks = 0;
	if (target == VMIG_STATE_STOP)
		m->was_stopped = true;
	if ((m->kind == IDLE_IN_PRE_COPY && target == VMIG_STATE_PRE_COPY) ||
	    (m->kind == IDLE_AFTER_STOP && m->was_stopped && target == VMIG_STATE_RUNNING))
		idle(m);
	r = vmig_device_set_state(m->inner, target, VMIG_STATE_NONE, &inner);
	if (r || !inner)
		return r;
	if (m->kind == NO_SESSION && from == VMIG_STATE_RUNNING_P2P && target == VMIG_STATE_PRE_COPY_P2P) {
		vmig_session_close(inner);
		return 0;
	}
	return give_half(m, inner, target == VMIG_STATE_RESUMING, ret);
}

static int reset(void *p, struct vmig_error *error)
{
	struct mutant *m = p;
	uint32_t from = inner_state(m);
	int r = vmig_device_reset(m->inner);

	/* Half a stream, as nobody has left RESUMING. */
	m->poisoned = from == VMIG_STATE_RESUMING && m->loading_len;
	m->loaded = false;
	m->loading_len = 0;
	m->n_lies = 0;
	if (!r && m->kind == RESET_STOPS)
		r = vmig_device_set_state(m->inner, VMIG_STATE_STOP, VMIG_STATE_NONE, NULL);
	return r;
}

static int query_size(void *p, uint64_t *ret, struct vmig_error *error)
{
	struct mutant *m = p;
	int r = vmig_device_query_stop_copy_size(m->inner, ret);

	if (m->kind == NO_SIZE_IN_STOP_COPY && inner_state(m) == VMIG_STATE_STOP_COPY)
		return -EBUSY;
	if (m->kind == SIZE_IS_OFF)
		*ret *= 10;
	return r;
}

/* --- regions, the log of DMA -------------------------------------------------------------------------- */

static int query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	return vmig_device_query_region(((struct mutant *)p)->inner, index, ret);
}

static int region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
		       struct vmig_error *error)
{
	struct mutant *m = p;

	if (m->kind == NO_CONFIG_IN_STOP && inner_state(m) == VMIG_STATE_STOP)
		return -EIO;
	return vmig_device_region_read(m->inner, index, offset, buf, len);
}

static int region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			struct vmig_error *error)
{
	return vmig_device_region_write(((struct mutant *)p)->inner, index, offset, buf, len);
}

static int query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	return vmig_device_query_irq(((struct mutant *)p)->inner, index, ret);
}

static int set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	return vmig_device_set_irqs(((struct mutant *)p)->inner, set);
}

static int map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	struct mutant *m = p;

	if (!m->memory)
		m->memory = map->vaddr;
	return vmig_device_map_dma(m->inner, map);
}

static int unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	return vmig_device_unmap_dma(((struct mutant *)p)->inner, iova, size);
}

static int log_start(void *p, uint64_t *page, const struct vmig_range *ranges, uint32_t n,
		     struct vmig_error *error)
{
	struct mutant *m = p;
	int r;

	if (m->kind == LOG_FEW_RANGES && n > 16)
		return -E2BIG;
	if (m->kind == LOG_NOT_IN_STOP && inner_state(m) == VMIG_STATE_STOP)
		return -EBUSY;
	if (m->kind == LOG_STARTS_NEVER_AGAIN && m->n_logs)
		return -EBUSY;
	r = vmig_device_dma_log_start(m->inner, page, ranges, n);
	if (r == -EBUSY && m->kind == LOG_STARTS_TWICE)
		r = 0;
	if (!r && m->kind == LOG_PAGE_IS_ODD)
		*page = 3;
	return r;
}

static int log_stop(void *p, struct vmig_error *error)
{
	struct mutant *m = p;

	m->n_logs++;
	return vmig_device_dma_log_stop(m->inner);
}

/* Of a device at work: it has mapped memory. */
static void log_report_work(struct mutant *m, uint64_t *bitmap, uint64_t n_pages)
{
	if (!m->memory)
		return;
	if (m->kind == LOG_LOSES_ALL)
		memset(bitmap, 0, (size_t)(n_pages + 63) / 64 * 8);
	if (m->kind == LOG_REPEATS) {
		bitmap[0] |= m->last_word;
		m->last_word |= bitmap[0] | 1;
	}
}

static int log_report(void *p, uint64_t iova, uint64_t length, uint64_t page, uint64_t *bitmap,
		      struct vmig_error *error)
{
	struct mutant *m = p;
	int r;

	if (m->kind == LOG_PAGES_OF_ONE_SIZE && page != 4096)
		return -EINVAL;
	r = vmig_device_dma_log_report(m->inner, iova, length, page, bitmap);
	if (m->kind == LOG_CLEARS && !r && !m->memory)
		bitmap[0] = 0;
	log_report_work(m, bitmap, length / page);
	return r && m->kind == LOG_REPORTS_WHEN_OFF ? 0 : r;
}

/* --- birth and end -------------------------------------------------------------------------------------- */

static void mutant_close(void *p)
{
	struct mutant *m = p;

	if (m->kind == KEEPS_STATE)
		kept_state = inner_state(m);
	vmig_device_close(m->inner);
	free(m->saved);
	free(m->loading);
	free(m);
}

static const struct vmig_provider_ops ops = {
	.close = mutant_close,
	.query_state = query_state,
	.set_state = set_state,
	.reset = reset,
	.query_stop_copy_size = query_size,
	.query_region = query_region,
	.region_read = region_read,
	.region_write = region_write,
	.query_irq = query_irq,
	.set_irqs = set_irqs,
	.map_dma = map_dma,
	.unmap_dma = unmap_dma,
	.dma_log_start = log_start,
	.dma_log_stop = log_stop,
	.dma_log_report = log_report,
};

static enum kind kind_of(const char *name)
{
	enum kind kind = 0;

	while (kind < KINDS && strcmp(names[kind], name) != 0)
		kind++;
	return kind;
}

bool mutant_exists(const char *name)
{
	return kind_of(name) < KINDS;
}

int mutant_new(const char *name, struct vmig_device *inner, struct vmig_device **ret)
{
	struct mutant *m = calloc(1, sizeof(*m));
	struct vmig_device_info info;
	int r;

	if (!m)
		return -ENOMEM;
	*m = (struct mutant){ .inner = inner, .kind = kind_of(name) };
	vmig_device_query_info(inner, &info);
	info.traits &= ~(VMIG_TRAIT_LENDS | VMIG_TRAIT_ROOMS);
	info.has &= ~VMIG_HAS_TAG;
	if (m->kind == NO_STOP_COPY_FLAG)
		info.migration_flags &= ~VMIG_MIGRATION_STOP_COPY;
	r = vmig_device_new(&ops, m, &info, ret);
	if (r)
		free(m);
	else if (m->kind == KEEPS_STATE)
		r = vmig_device_set_state(inner, kept_state, VMIG_STATE_NONE, NULL);
	return r;
}
