/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a session, and what all its calls do. The adapters are in session_save.c and session_load.c. */
#include <limits.h>
#include <string.h>

#include "base/io.h"
#include "fsm/fsm.h"
#include "handle/handle.h"

/* --- life --------------------------------------------------------------------------------- */

struct vmig_session *vmig_session_alloc(void)
{
	return calloc(1, sizeof(struct vmig_session));
}

void vmig_session_bind(struct vmig_session *session, struct vmig_device *dev,
		       const struct vmig_session_half *half)
{
	session->dev = dev;
	session->half = *half;
	pthread_mutex_lock(&dev->lock);
	session->next = dev->sessions;
	dev->sessions = session;
	dev->refs++;
	pthread_mutex_unlock(&dev->lock);
}

bool vmig_session_loads(const struct vmig_session *session)
{
	return session->half.ops->writev || session->half.ops->room;
}

static bool has_place(const struct vmig_session *session, uint32_t state)
{
	return vmig_session_loads(session) ? state == VMIG_STATE_RESUMING : vmig_fsm_saving(state);
}

void vmig_session_end_for(struct vmig_device *dev, uint32_t state)
{
	pthread_mutex_lock(&dev->lock);
	for (struct vmig_session *s = dev->sessions; s; s = s->next)
		if (!has_place(s, state))
			atomic_store(&s->ended, true);
	pthread_mutex_unlock(&dev->lock);
}

/** Close the provider's half, which has its loan back first. */
static void close_half(struct vmig_session *session, const struct vmig_session_half *half)
{
	if (!half->ops)
		return;
	if (session->loan_out && half->ops->give_back)
		half->ops->give_back(half->s, 0);
	if (half->ops->close)
		half->ops->close(half->s);
}

void vmig_session_orphan_all(struct vmig_device *dev)
{
	struct vmig_session *session;

	pthread_mutex_lock(&dev->lock);
	while ((session = dev->sessions)) {
		struct vmig_session_half half = session->half;

		dev->sessions = session->next;
		session->half.ops = NULL;
		atomic_store(&session->ended, true);
		pthread_mutex_unlock(&dev->lock);
		close_half(session, &half);
		pthread_mutex_lock(&dev->lock);
	}
	pthread_mutex_unlock(&dev->lock);
}

void vmig_session_close(struct vmig_session *session)
{
	struct vmig_session_half half;
	struct vmig_session **at;

	if (!session)
		return;
	pthread_mutex_lock(&session->dev->lock);
	half = session->half;
	for (at = &session->dev->sessions; *at; at = &(*at)->next) {
		if (*at == session) {
			*at = session->next;
			break;
		}
	}
	pthread_mutex_unlock(&session->dev->lock);
	close_half(session, &half);
	vmig_device_unref(session->dev);
	free(session->buf);
	free(session);
}

/* --- what all calls do -------------------------------------------------------------------- */

int vmig_session_fail(struct vmig_session *session, int code, struct vmig_error *error, const char *where)
{
	/* ENOMSG is an answer, not an error. */
	return code == -ENOMSG ? code : vmig_device_keep_error(session->dev, code, error, where);
}

int vmig_session_check_alive(struct vmig_session *session, const char *where)
{
	if (atomic_load(&session->ended))
		return vmig_device_fault(session->dev, -ENODEV, where, "the session has ended");
	return 0;
}

int vmig_session_check_iov(struct vmig_session *session, const struct iovec *iov, int n, const char *where)
{
	if (n < 0 || n > IOV_MAX || vmig_iov_len(iov, n) > SSIZE_MAX)
		return vmig_device_fault(session->dev, -EINVAL, where, "%d pieces, or too many bytes", n);
	return 0;
}

int vmig_session_need_buffer(struct vmig_session *session, const char *where)
{
	if (!session->buf)
		session->buf = malloc(VMIG_SESSION_BUFFER);
	return session->buf ? 0 : vmig_device_fault(session->dev, -ENOMEM, where, "no memory for a buffer");
}

/** What a provider hands out must be what it says. */
bool vmig_session_pieces_agree(const struct iovec *iov, int n, ssize_t len, size_t max)
{
	return n > 0 && n <= VMIG_SESSION_IOV_MAX && (size_t)len <= max &&
	       vmig_iov_len(iov, n) == (size_t)len;
}
