/* SPDX-License-Identifier: BSD-3-Clause */
/* A mutant: all calls go to the good device, and by the rule that is broken. */
#include <fcntl.h>

#include <vmig/uapi.h>

#include "rule.h"

static const struct mutant_rule *const areas[] = { mutant_state_rules,   mutant_data_rules,
						   mutant_precopy_rules, mutant_log_rules,
						   mutant_work_rules,    mutant_region_rules,
						   mutant_buffer_rules };

const struct mutant_rule *mutant_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		for (const struct mutant_rule *rule = areas[i]; rule->name; rule++)
			if (!strcmp(rule->name, name))
				return rule;
	return NULL;
}

bool mutant_is_v1(const struct mutant_rule *rule)
{
	for (const struct mutant_rule *r = mutant_region_rules; r->name; r++)
		if (r == rule)
			return true;
	for (const struct mutant_rule *r = mutant_buffer_rules; r->name; r++)
		if (r == rule)
			return true;
	return false;
}

static int told(struct mutant *m, int r, struct vmig_error *error)
{
	if (r < 0)
		vmig_device_query_error(m->inner, error);
	return r;
}

/* --- the state machine --------------------------------------------------------------------------- */

uint32_t mutant_state(struct mutant *m)
{
	uint32_t state = VMIG_STATE_ERROR;

	(void)vmig_device_query_state(m->inner, &state);
	return state;
}

bool mutant_in_precopy(struct mutant *m)
{
	uint32_t state = mutant_state(m);

	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P;
}

static int query_state(void *p, uint32_t *ret, struct vmig_error *error)
{
	struct mutant *m = p;
	int r = told(m, vmig_device_query_state(m->inner, ret), error);

	m->n_looks++;
	if (!r && m->rule->look)
		m->rule->look(m, ret);
	if (!r && m->n_lies) {
		m->n_lies--;
		*ret = m->lie;
	}
	return r;
}

static void note(struct mutant *m, uint32_t from, uint32_t to)
{
	m->from_precopy = from == VMIG_STATE_PRE_COPY || from == VMIG_STATE_PRE_COPY_P2P;
	m->n_looks = 0;
	m->was_stopped |= to == VMIG_STATE_STOP;
	if (to == VMIG_STATE_STOP_COPY) {
		m->saved.len = 0;
		m->n_saves++;
	}
	if (to == VMIG_STATE_RESUMING) {
		m->loading.len = 0;
		m->n_written = 0;
	}
}

static int set_state(void *p, uint32_t to, struct vmig_session_half *ret, struct vmig_error *error)
{
	struct mutant *m = p;
	struct vmig_session *inner = NULL;
	uint32_t from = mutant_state(m);
	int r = m->rule->before ? m->rule->before(m, from, to) : 0;

	if (r)
		return r;
	if (from == VMIG_STATE_RESUMING && to != VMIG_STATE_RESUMING) {
		r = told(m, mutant_session_loaded(m, to), error);
	} else {
		note(m, from, to);
		r = told(m, vmig_device_set_state(m->inner, to, VMIG_STATE_NONE, &inner), error);
	}
	if (!r && m->rule->after)
		m->rule->after(m, from, to, &inner);
	return r || !inner ? r : mutant_session_start(m, inner, to == VMIG_STATE_RESUMING, ret);
}

static int reset(void *p, struct vmig_error *error)
{
	struct mutant *m = p;
	uint32_t from = mutant_state(m);
	int r = told(m, vmig_device_reset(m->inner), error);

	m->poisoned = from == VMIG_STATE_RESUMING && m->n_written;
	m->loaded = false;
	m->loading.len = 0;
	m->n_written = 0;
	m->n_lies = 0;
	return !r && m->rule->reset ? m->rule->reset(m) : r;
}

static int query_size(void *p, uint64_t *ret, struct vmig_error *error)
{
	struct mutant *m = p;
	int r = told(m, vmig_device_query_stop_copy_size(m->inner, ret), error);

	return m->rule->size ? m->rule->size(m, r, ret) : r;
}

/* --- memory and interrupts ----------------------------------------------------------------------- */

uint8_t *mutant_memory(struct mutant *m, bool peer)
{
	unsigned int n = 0;

	/* A device is not told which is which; that it is the second is how our driver of the checks does it. */
	for (size_t i = 0; i < MUTANT_MAPS_MAX; i++)
		if (m->maps[i].size && (m->maps[i].prot & VMIG_DMA_WRITE) && n++ == peer)
			return m->maps[i].vaddr;
	return NULL;
}

static void note_map(struct mutant *m, const struct vmig_dma *map)
{
	if (!map->vaddr)
		return;
	for (size_t i = 0; i < MUTANT_MAPS_MAX; i++) {
		if (!m->maps[i].size) {
			m->maps[i] = *map;
			return;
		}
	}
}

static int map_dma(void *p, const struct vmig_dma *map, struct vmig_error *error)
{
	struct mutant *m = p;
	int r = told(m, vmig_device_map_dma(m->inner, map), error);

	if (!r)
		note_map(m, map);
	return r;
}

static int unmap_dma(void *p, uint64_t iova, uint64_t size, struct vmig_error *error)
{
	struct mutant *m = p;

	for (size_t i = 0; i < MUTANT_MAPS_MAX; i++)
		if (m->maps[i].iova == iova && m->maps[i].size == size)
			m->maps[i].size = 0;
	return told(m, vmig_device_unmap_dma(m->inner, iova, size), error);
}

static void note_irqs(struct mutant *m, const struct vmig_irq_set *set)
{
	for (uint32_t i = set->start; i < MUTANT_IRQS_MAX && i - set->start < set->count; i++) {
		int fd = set->fds && set->fds[i - set->start] >= 0
				 ? fcntl(set->fds[i - set->start], F_DUPFD_CLOEXEC, 0)
				 : -1;

		vmig_closep(&m->irqs[i]);
		m->irqs[i] = fd;
	}
}

static int query_irq(void *p, uint32_t index, struct vmig_irq *ret, struct vmig_error *error)
{
	struct mutant *m = p;

	return told(m, vmig_device_query_irq(m->inner, index, ret), error);
}

static int set_irqs(void *p, const struct vmig_irq_set *set, struct vmig_error *error)
{
	struct mutant *m = p;
	int r = told(m, vmig_device_set_irqs(m->inner, set), error);

	if (!r && (set->flags & VMIG_IRQ_DATA_EVENTFD) && (set->flags & VMIG_IRQ_ACTION_TRIGGER))
		note_irqs(m, set);
	return r;
}

/* --- regions, the log of DMA --------------------------------------------------------------------- */

static bool is_v1(const struct mutant *m, uint32_t index)
{
	return m->region.good.size && index == m->region.good.index;
}

static int query_region(void *p, uint32_t index, struct vmig_region *ret, struct vmig_error *error)
{
	struct mutant *m = p;
	int r = told(m, vmig_device_query_region(m->inner, index, ret), error);

	if (!r && is_v1(m, index) && m->rule->v1_region)
		m->rule->v1_region(m, ret);
	return r;
}

static int region_read(void *p, uint32_t index, uint64_t offset, void *buf, size_t len,
		       struct vmig_error *error)
{
	struct mutant *m = p;
	int r = m->rule->region_read ? m->rule->region_read(m) : 0;

	if (is_v1(m, index) && m->rule->v1_read)
		return told(m, m->rule->v1_read(m, offset, buf, len), error);
	return r ? r : told(m, vmig_device_region_read(m->inner, index, offset, buf, len), error);
}

static int region_write(void *p, uint32_t index, uint64_t offset, const void *buf, size_t len,
			struct vmig_error *error)
{
	struct mutant *m = p;

	if (is_v1(m, index) && m->rule->v1_write)
		return told(m, m->rule->v1_write(m, offset, buf, len), error);
	return told(m, vmig_device_region_write(m->inner, index, offset, buf, len), error);
}

static int query_ioeventfds(void *p, uint32_t index, struct vmig_ioeventfd *ret, int max,
			    struct vmig_error *error)
{
	struct mutant *m = p;

	return told(m, vmig_device_query_ioeventfds(m->inner, index, ret, max), error);
}

static int log_start(void *p, uint64_t *page, const struct vmig_range *ranges, uint32_t n,
		     struct vmig_error *error)
{
	struct mutant *m = p;
	int r = m->rule->log_start ? m->rule->log_start(m, n) : 0;

	if (r)
		return r;
	r = told(m, vmig_device_dma_log_start(m->inner, page, ranges, n), error);
	return m->rule->log_started ? m->rule->log_started(m, r, page) : r;
}

static int log_stop(void *p, struct vmig_error *error)
{
	struct mutant *m = p;

	m->n_logs++;
	return told(m, vmig_device_dma_log_stop(m->inner), error);
}

static int log_report(void *p, uint64_t iova, uint64_t length, uint64_t page, uint64_t *bitmap,
		      struct vmig_error *error)
{
	struct mutant *m = p;
	int r = told(m, vmig_device_dma_log_report(m->inner, iova, length, page, bitmap), error);

	m->report_iova = iova;
	return m->rule->log_report ? m->rule->log_report(m, r, page, bitmap, page ? length / page : 0) : r;
}

/* --- what it is ----------------------------------------------------------------------------------- */

static void set_timeout(void *p, uint32_t ms)
{
	vmig_device_set_timeout(((struct mutant *)p)->inner, ms);
}

static int query_descriptor(void *p, char **ret, struct vmig_error *error)
{
	struct mutant *m = p;

	return told(m, vmig_device_query_descriptor(m->inner, ret), error);
}

static int query_opaque(void *p, void *buf, size_t *ret_len, struct vmig_error *error)
{
	struct mutant *m = p;

	return told(m, vmig_device_query_opaque(m->inner, buf, ret_len), error);
}

static int check_opaque(void *p, const void *data, size_t len, struct vmig_error *error)
{
	struct mutant *m = p;

	return told(m, vmig_device_check_opaque(m->inner, data, len), error);
}

static int query_tag(void *p, struct vmig_tag *ret, struct vmig_error *error)
{
	struct mutant *m = p;

	return told(m, vmig_device_query_tag(m->inner, ret), error);
}

static int set_tag(void *p, const struct vmig_tag *tag, struct vmig_error *error)
{
	struct mutant *m = p;

	return told(m, vmig_device_set_tag(m->inner, tag), error);
}

static void mutant_close(void *p)
{
	struct mutant *m = p;

	if (m->rule->close)
		m->rule->close(m);
	vmig_session_close(m->loader);
	vmig_device_close(m->inner);
	vmig_closep(&m->region.fd);
	for (size_t i = 0; i < MUTANT_IRQS_MAX; i++)
		vmig_closep(&m->irqs[i]);
	free(m->saved.data);
	free(m->loading.data);
	free(m);
}

static const struct vmig_provider_ops ops = {
	.close = mutant_close,
	.set_timeout = set_timeout,
	.query_state = query_state,
	.set_state = set_state,
	.reset = reset,
	.query_stop_copy_size = query_size,
	.query_descriptor = query_descriptor,
	.query_opaque = query_opaque,
	.check_opaque = check_opaque,
	.query_tag = query_tag,
	.set_tag = set_tag,
	.query_region = query_region,
	.region_read = region_read,
	.region_write = region_write,
	.query_ioeventfds = query_ioeventfds,
	.query_irq = query_irq,
	.set_irqs = set_irqs,
	.map_dma = map_dma,
	.unmap_dma = unmap_dma,
	.dma_log_start = log_start,
	.dma_log_stop = log_stop,
	.dma_log_report = log_report,
};

static void find_v1(struct mutant *m, const struct vmig_device_info *info)
{
	struct vmig_region region;

	m->region.fd = -1;
	for (uint32_t i = 0; mutant_is_v1(m->rule) && i < info->n_regions; i++)
		if (!vmig_device_query_region(m->inner, i, &region) &&
		    region.cap_type == VMIG_UAPI_REGION_TYPE_MIGRATION_DEPRECATED)
			m->region.good = region;
}

int mutant_new(const struct mutant_rule *rule, struct vmig_device *inner, struct vmig_device **ret)
{
	struct mutant *m = calloc(1, sizeof(*m));
	struct vmig_device_info info;
	int r;

	if (!m)
		return -ENOMEM;
	m->inner = inner;
	m->rule = rule;
	memset(m->irqs, 0xff, sizeof(m->irqs));
	vmig_device_query_info(inner, &info);
	find_v1(m, &info);
	info.traits &= ~(uint32_t)(VMIG_TRAIT_LENDS | VMIG_TRAIT_ROOMS);
	if (rule->info)
		rule->info(&info);
	r = vmig_device_new(&ops, m, &info, ret);
	if (r)
		free(m);
	else if (rule->open)
		rule->open(m);
	return r;
}
