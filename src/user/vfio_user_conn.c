/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls from their birth to their end, and the end of the connection. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/log.h"
#include "user/vfio_user_conn.h"

const char *vmig_vuc_command_name(uint16_t command)
{
	const char *name = vmig_vu_command_name(command);

	return name ? name : "an unknown command";
}

struct vmig_vuc_wait vmig_vuc_wait_from_now(struct vmig_vuc *v)
{
	uint64_t timeout = v->timeout_ms * NS_PER_MS, now = vmig_now_ns();

	if (!timeout)
		return (struct vmig_vuc_wait){ 0 };
	return (struct vmig_vuc_wait){ .deadline_ns = now + timeout, .poll_from_ns = now + timeout / 4 };
}

/* --- the end of a call, and of the connection (v->lock is held) --------------------------- */

void vmig_vuc_complete(struct vmig_vuc *v, struct vmig_vuc_call *call, int result)
{
	call->result = result;
	if (call->ahead)
		v->ahead--;
	if (call->orphan) {
		free(call->park);
		free(call);
		return;
	}
	call->state = VMIG_VUC_DONE;
	if (call->waiting)
		pthread_cond_signal(&call->cond);
}

void vmig_vuc_unlink(struct vmig_vuc *v, struct vmig_vuc_call **at)
{
	struct vmig_vuc_call *call = *at;

	*at = call->next;
	if (v->tail == &call->next)
		v->tail = at;
	call->next = NULL;
}

void vmig_vuc_die_locked(struct vmig_vuc *v, const struct vmig_error *why)
{
	if (v->death.code)
		return;
	v->death = *why;
	v->dead = true;
	vmig_log(VMIG_LOG_WARNING, "%s: the connection is given up: %s: %s", v->info.name, why->where,
		 why->text);
	/* Whoever sits in recvmsg() or sendmsg() comes back, and the server learns of it. */
	shutdown(v->in.fd, SHUT_RDWR);
	while (v->calls) {
		struct vmig_vuc_call *call = v->calls;

		vmig_vuc_unlink(v, &v->calls);
		vmig_vuc_complete(v, call, -v->death.code);
	}
	pthread_cond_broadcast(&v->server_cond);
}

static int die_v(struct vmig_vuc *v, int code, const char *where, const char *format, va_list ap)
{
	struct vmig_error why;
	char text[sizeof(why.text)];

	vsnprintf(text, sizeof(text), format, ap);
	vmig_fault(&why, code, where, "%s", text);
	pthread_mutex_lock(&v->lock);
	vmig_vuc_die_locked(v, &why);
	pthread_mutex_unlock(&v->lock);
	return code;
}

int vmig_vuc_die(struct vmig_vuc *v, int code, const char *where, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	die_v(v, code, where, format, ap);
	va_end(ap);
	return code;
}

int vmig_vuc_broken(struct vmig_vuc *v, struct vmig_error *error, const char *where, const char *format, ...)
{
	char text[sizeof(error->text)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	vmig_vuc_die(v, -EPROTO, where, "%s", text);
	return vmig_fault(error, -EPROTO, where, "%s", text);
}

/* What a failed send or receive means, in words. */
int vmig_vuc_die_of(struct vmig_vuc *v, int code, const char *where)
{
	const char *text = "the socket failed";

	if (code == -ETIMEDOUT)
		text = "the server does not answer";
	else if (code == -ECONNRESET)
		text = "the server has closed the connection";
	else if (code == -EPROTO)
		text = "a command of the server's contradicts itself";
	return vmig_vuc_die(v, code, where, "%s", text);
}

/* --- calls ------------------------------------------------------------------------------- */

struct vmig_cursor vmig_vuc_request(void *out, size_t size)
{
	return vmig_cursor_into((uint8_t *)out + VMIG_VU_HEADER_SIZE, size - VMIG_VU_HEADER_SIZE);
}

void vmig_vuc_request_end(struct vmig_vuc_call *call, void *out, const struct vmig_cursor *c)
{
	call->out = out;
	call->out_len = (size_t)(c->at - call->out);
}

/* Give it an id and a place among those that wait. */
int vmig_vuc_enlist(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	int r = 0;

	pthread_mutex_lock(&v->lock);
	call->cond = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
	call->id = v->next_id++;
	call->next = NULL;
	if (v->death.code) {
		call->result = r = -ECONNRESET;
		call->state = VMIG_VUC_DONE;
		call->late = true;
	} else {
		call->state = VMIG_VUC_SENT;
		v->ahead += call->ahead;
		*v->tail = call;
		v->tail = &call->next;
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

void vmig_vuc_attach(struct vmig_vuc *v, struct vmig_vuc_call *call, struct iovec *iov, int n)
{
	pthread_mutex_lock(&v->lock);
	if (call->state == VMIG_VUC_SENT) {
		call->iov = iov;
		call->n_iov = n;
	}
	pthread_mutex_unlock(&v->lock);
}

bool vmig_vuc_is_done(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	bool done;

	pthread_mutex_lock(&v->lock);
	done = call->state == VMIG_VUC_DONE;
	pthread_mutex_unlock(&v->lock);
	return done;
}

void vmig_vuc_abandon(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	bool done;

	pthread_mutex_lock(&v->lock);
	done = call->state == VMIG_VUC_DONE;
	call->orphan = true;
	pthread_mutex_unlock(&v->lock);
	if (done) {
		free(call->park);
		free(call);
	}
}

int vmig_vuc_call_fault(struct vmig_vuc *v, const struct vmig_vuc_call *call, struct vmig_error *error)
{
	const char *where = vmig_vuc_command_name(call->command);
	struct vmig_error death;

	if (!call->result)
		return 0;
	if (call->refused)
		return vmig_fault(error, call->result, where,
				  call->result == -EREMOTEIO
					  ? "the server answered with an error, and no errno"
					  : "the server refuses");
	pthread_mutex_lock(&v->lock);
	death = v->death;
	pthread_mutex_unlock(&v->lock);
	if (call->late)
		return vmig_fault(error, call->result, where, "the connection was lost earlier: %s: %.150s",
				  death.where, death.text);
	if (strcmp(death.where, where))
		return vmig_fault(error, call->result, where, "%s: %.180s", death.where, death.text);
	return vmig_fault(error, call->result, where, "%s", death.text);
}

int vmig_vuc_call(struct vmig_vuc *v, struct vmig_vuc_call *call, struct vmig_error *error)
{
	vmig_vuc_start(v, call);
	return vmig_vuc_wait_for(v, call) ? vmig_vuc_call_fault(v, call, error) : 0;
}

/* --- life --------------------------------------------------------------------------------- */

int vmig_vuc_set_timeouts(struct vmig_vuc *v, uint32_t ms)
{
	struct timeval t = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	v->timeout_ms = ms;
	if (setsockopt(v->in.fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) < 0 ||
	    setsockopt(v->in.fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0)
		return -errno;
	return 0;
}

void vmig_vuc_conn_init(struct vmig_vuc *v, int fd)
{
	v->in.fd = fd;
	v->tail = &v->calls;
	v->out_tail = &v->out;
	v->caps = vmig_vu_caps_default;
	pthread_mutex_init(&v->send_lock, NULL);
	pthread_mutex_init(&v->lock, NULL);
	pthread_cond_init(&v->server_cond, NULL);
}

void vmig_vuc_conn_done(struct vmig_vuc *v)
{
	struct vmig_vuc_call *call;
	struct vmig_vuc_out *out;

	/* Only replies that nobody wants are still under way. */
	while ((call = v->calls)) {
		vmig_vuc_unlink(v, &v->calls);
		vmig_vuc_complete(v, call, -ECONNRESET);
	}
	while ((out = vmig_vuc_next_out(v)))
		free(out);
	vmig_vuc_in_done(&v->in);
	pthread_cond_destroy(&v->server_cond);
	pthread_mutex_destroy(&v->lock);
	pthread_mutex_destroy(&v->send_lock);
}
