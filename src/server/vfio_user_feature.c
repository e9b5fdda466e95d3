/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DEVICE_FEATURE, with the kernel's rules and errnos: a feature that is not there is ENOTTY; an operation that it
 * does not have, or no operation, EINVAL; PROBE only asks whether it is there.
 */
#include "server/vfio_user.h"

struct feature {
	uint16_t index;
	uint32_t ops;   /* VMIG_VU_FEATURE_GET, _SET */
	uint32_t argsz; /* least, of an operation */
	bool (*there)(const struct vmig_served *s);
	int (*get)(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c);
	int (*set)(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c);
};

static bool migrates(const struct vmig_served *s)
{
	return s->info.migration_flags != 0;
}

static bool logs(const struct vmig_served *s)
{
	return s->info.has & VMIG_HAS_DMA_LOG;
}

static bool has_stop_copy_size(const struct vmig_served *s)
{
	return migrates(s) && (s->info.has & VMIG_HAS_STOP_COPY_SIZE);
}

/* PRECOPY_INFO itself is a message of its own; without it there is nothing to opt in to. */
static bool has_reinit(const struct vmig_served *s)
{
	return migrates(s) && (s->info.has & VMIG_HAS_REINIT) && s->caps.precopy_info;
}

static void head_of(struct vmig_cursor *o, uint16_t index, uint32_t op, uint32_t len)
{
	struct vmig_vu_feature f = { VMIG_VU_FEATURE_SIZE + len, op | index };

	vmig_vu_feature_encode(o, &f);
}

static int reply_as_asked(struct vmig_served *s, struct vmig_slink_msg *m)
{
	return vmig_served_reply(s, m, m->body, m->body_len, NULL, 0, NULL, 0);
}

static int get_migration(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c)
{
	uint8_t out[VMIG_VU_FEATURE_SIZE + VMIG_VU_MIGRATION_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));

	head_of(&o, VMIG_VU_FEATURE_MIGRATION, VMIG_VU_FEATURE_GET, VMIG_VU_MIGRATION_SIZE);
	vmig_vu_migration_encode(&o, s->info.migration_flags);
	return vmig_served_reply_to(s, m, out, &o);
}

static int get_state(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c)
{
	uint8_t out[VMIG_VU_FEATURE_SIZE + VMIG_VU_MIG_STATE_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	struct vmig_vu_mig_state st = { .data_fd = -1 };
	int r = vmig_device_query_state(s->dev, &st.device_state);

	if (r < 0)
		return r;
	head_of(&o, VMIG_VU_FEATURE_MIG_DEVICE_STATE, VMIG_VU_FEATURE_GET, VMIG_VU_MIG_STATE_SIZE);
	vmig_vu_mig_state_encode(&o, &st);
	return vmig_served_reply_to(s, m, out, &o);
}

void vmig_served_end_session(struct vmig_served *s)
{
	vmig_session_close(s->session);
	s->session = NULL;
}

static bool has_session(uint32_t state)
{
	return state == VMIG_STATE_PRE_COPY || state == VMIG_STATE_PRE_COPY_P2P ||
	       state == VMIG_STATE_STOP_COPY || state == VMIG_STATE_RESUMING;
}

/* A failed walk may have got half-way: the state is asked for, and no session outlives its states. */
static int set_state(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c)
{
	struct vmig_session *session = NULL;
	struct vmig_vu_mig_state st;
	uint32_t now;
	int r = vmig_vu_mig_state_decode(c, &st);

	if (r < 0)
		return r;
	r = vmig_device_set_state(s->dev, st.device_state, VMIG_STATE_NONE, &session);
	if (session) {
		vmig_served_end_session(s);
		s->session = session;
	}
	if (vmig_device_query_state(s->dev, &now) || !has_session(now))
		vmig_served_end_session(s);
	return r < 0 ? r : reply_as_asked(s, m);
}

static int get_data_size(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c)
{
	uint8_t out[VMIG_VU_FEATURE_SIZE + VMIG_VU_MIG_DATA_SIZE_SIZE];
	struct vmig_cursor o = vmig_cursor_into(out, sizeof(out));
	uint64_t bytes;
	int r = vmig_device_query_stop_copy_size(s->dev, &bytes);

	if (r < 0)
		return r;
	head_of(&o, VMIG_VU_FEATURE_MIG_DATA_SIZE, VMIG_VU_FEATURE_GET, VMIG_VU_MIG_DATA_SIZE_SIZE);
	vmig_vu_mig_data_size_encode(&o, bytes);
	return vmig_served_reply_to(s, m, out, &o);
}

static int set_precopy_v2(struct vmig_served *s, struct vmig_slink_msg *m, struct vmig_cursor *c)
{
	s->reinit = true;
	return reply_as_asked(s, m);
}

static const struct feature features[] = {
	{ VMIG_VU_FEATURE_MIGRATION, VMIG_VU_FEATURE_GET, VMIG_VU_MIGRATION_SIZE, migrates, get_migration,
	  NULL },
	{ VMIG_VU_FEATURE_MIG_DEVICE_STATE, VMIG_VU_FEATURE_GET | VMIG_VU_FEATURE_SET, VMIG_VU_MIG_STATE_SIZE,
	  migrates, get_state, set_state },
	{ VMIG_VU_FEATURE_DMA_LOGGING_START, VMIG_VU_FEATURE_SET, VMIG_VU_LOG_START_SIZE, logs, NULL,
	  vmig_served_log_start },
	{ VMIG_VU_FEATURE_DMA_LOGGING_STOP, VMIG_VU_FEATURE_SET, 0, logs, NULL, vmig_served_log_stop },
	{ VMIG_VU_FEATURE_DMA_LOGGING_REPORT, VMIG_VU_FEATURE_GET, VMIG_VU_LOG_REPORT_SIZE, logs,
	  vmig_served_log_report, NULL },
	{ VMIG_VU_FEATURE_MIG_DATA_SIZE, VMIG_VU_FEATURE_GET, VMIG_VU_MIG_DATA_SIZE_SIZE, has_stop_copy_size,
	  get_data_size, NULL },
	{ VMIG_VU_FEATURE_MIG_PRECOPY_INFO_V2, VMIG_VU_FEATURE_SET, 0, has_reinit, NULL, set_precopy_v2 },
};

static const struct feature *find(const struct vmig_served *s, uint32_t flags)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].index == (flags & VMIG_VU_FEATURE_INDEX))
			return features[i].there(s) ? &features[i] : NULL;
	return NULL;
}

int vmig_served_feature(struct vmig_served *s, struct vmig_slink_msg *m)
{
	struct vmig_cursor c = vmig_cursor_over(m->body, m->body_len);
	struct vmig_vu_feature req;
	const struct feature *f;
	uint32_t op;
	int r = vmig_vu_feature_decode(&c, &req);

	if (r < 0)
		return r;
	f = find(s, req.flags);
	op = req.flags & (VMIG_VU_FEATURE_GET | VMIG_VU_FEATURE_SET);
	if (!f)
		return -ENOTTY;
	if (op & ~f->ops)
		return -EINVAL;
	if (req.flags & VMIG_VU_FEATURE_PROBE)
		return reply_as_asked(s, m);
	if (!op || req.argsz < VMIG_VU_FEATURE_SIZE + f->argsz)
		return -EINVAL;
	return op == VMIG_VU_FEATURE_GET ? f->get(s, m, &c) : f->set(s, m, &c);
}
