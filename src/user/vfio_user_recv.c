/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving, and who does it: the rule is in vfio_user.h. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "user/vfio_user_conn.h"

/* --- receiving: whoever holds the role ---------------------------------------------------- */

static struct vmig_vuc_call *take_call(struct vmig_vuc *v, uint16_t id)
{
	struct vmig_vuc_call **at = &v->calls, *call;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	call = *at;
	if (call) {
		vmig_vuc_unlink(v, at);
		call->state = VMIG_VUC_RECEIVING;
	}
	return call;
}

/* The data: first into the caller's memory, then into a buffer of its own. */
static int receive_data(struct vmig_vuc *v, struct vmig_vuc_call *call, uint32_t len,
			struct vmig_vuc_wait *wait)
{
	struct iovec park;
	size_t room = vmig_iov_len(call->iov, call->n_iov);
	uint32_t direct = (uint32_t)MIN(room, len);
	int r = vmig_vuc_in_take(&v->in, call->iov, call->n_iov, direct, wait);

	if (!r && len > direct) {
		call->park_len = len - direct;
		call->park = malloc(call->park_len);
		if (!call->park)
			return vmig_vuc_die(v, -ENOMEM, vmig_vuc_command_name(call->command),
					    "no memory for %u bytes", call->park_len);
		park = (struct iovec){ call->park, call->park_len };
		r = vmig_vuc_in_take(&v->in, &park, 1, park.iov_len, wait);
	}
	call->data_len = len;
	return r < 0 ? vmig_vuc_die_of(v, r, vmig_vuc_command_name(call->command)) : 0;
}

/* "must only include the reply header": but libvfio-user in its v1 revision sends back the body of the request. */
static int receive_error(struct vmig_vuc *v, struct vmig_vuc_call *call, struct vmig_vuc_wait *wait)
{
	const struct vmig_vu_header *h = &call->reply;
	int r;

	if (vmig_vu_payload(h) > (uint64_t)call->fixed_max + call->data_max)
		return vmig_vuc_die(v, -EPROTO, vmig_vuc_command_name(h->command),
				    "an error reply of %u bytes, where it is a header only", h->size);
	r = vmig_vuc_in_skip(&v->in, vmig_vu_payload(h), wait);
	if (r < 0)
		return vmig_vuc_die_of(v, r, vmig_vuc_command_name(h->command));
	call->refused = true;
	return vmig_vu_header_errno(h);
}

static int receive_body(struct vmig_vuc *v, struct vmig_vuc_call *call, struct vmig_vuc_wait *wait)
{
	const struct vmig_vu_header *h = &call->reply;
	uint32_t fixed = vmig_vu_fixed_size(h), data = vmig_vu_payload(h) - fixed;
	struct iovec iov = { call->fixed, fixed };
	int r;

	if (h->flags & VMIG_VU_ERROR)
		return receive_error(v, call, wait);
	if (fixed > call->fixed_max || data > call->data_max)
		return vmig_vuc_die(v, -EPROTO, vmig_vuc_command_name(h->command),
				    "the reply has %u bytes, but at most %u were asked for",
				    vmig_vu_payload(h), call->fixed_max + call->data_max);
	r = vmig_vuc_in_take(&v->in, &iov, 1, fixed, wait);
	if (r < 0)
		return vmig_vuc_die_of(v, r, vmig_vuc_command_name(h->command));
	call->fixed_len = fixed;
	return data ? receive_data(v, call, data, wait) : 0;
}

static int receive_fds(struct vmig_vuc *v, struct vmig_vuc_call *call, int result)
{
	bool surplus;
	uint32_t max = result ? 0 : call->fds_max;

	call->n_fds = vmig_vuc_in_take_fds(&v->in, call->fds, max, &surplus);
	if (!surplus)
		return result;
	while (call->n_fds)
		close(call->fds[--call->n_fds]);
	return vmig_vuc_die(v, -EPROTO, vmig_vuc_command_name(call->command),
			    "descriptors came that were not asked for");
}

static int receive_reply(struct vmig_vuc *v, const struct vmig_vu_header *h, struct vmig_vuc_wait *wait)
{
	struct vmig_vuc_call *call;
	int r;

	pthread_mutex_lock(&v->lock);
	call = take_call(v, h->id);
	pthread_mutex_unlock(&v->lock);
	if (!call)
		return vmig_vuc_die(v, -EPROTO, vmig_vuc_command_name(h->command),
				    "a reply with id %u, which no command has that is under way", h->id);
	call->reply = *h;
	if (h->command != call->command)
		r = vmig_vuc_die(v, -EPROTO, vmig_vuc_command_name(call->command),
				 "the reply is one to %s (%u)", vmig_vuc_command_name(h->command),
				 h->command);
	else
		r = receive_body(v, call, wait);
	if (!v->dead)
		r = receive_fds(v, call, r);
	pthread_mutex_lock(&v->lock);
	vmig_vuc_complete(v, call, r);
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static void quote_bytes(char *to, size_t room, const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at + 1 < room; i++)
		to[at++] = isprint(bytes[i]) ? (char)bytes[i] : '.';
	to[at] = '\0';
}

/* Before VERSION is agreed on, whatever is wrong means that this is not a vfio-user server. */
static int not_vfio_user(struct vmig_vuc *v, const struct vmig_vu_header *h)
{
	char quote[VMIG_VU_HEADER_SIZE + 1];

	if (v->agreed)
		return vmig_vuc_die(v, -EPROTO, "header", "a message of %u bytes, type %u, command %u",
				    h->size, h->flags & VMIG_VU_TYPE_MASK, h->command);
	quote_bytes(quote, sizeof(quote), v->in.buf + v->in.start,
		    MIN(vmig_vuc_in_buffered(&v->in), VMIG_VU_HEADER_SIZE));
	return vmig_vuc_die(v, -EPROTO, "VERSION",
			    "what answers is not a vfio-user server: it begins with \"%s\"", quote);
}

static int no_header(struct vmig_vuc *v, int code)
{
	char quote[VMIG_VU_HEADER_SIZE + 1];
	const char *where = "DMA";

	if (!v->agreed && code == -ECONNRESET && vmig_vuc_in_buffered(&v->in)) {
		quote_bytes(quote, sizeof(quote), v->in.buf + v->in.start, vmig_vuc_in_buffered(&v->in));
		return vmig_vuc_die(v, -EPROTO, "VERSION",
				    "what answers is not a vfio-user server: it says \"%s\"", quote);
	}
	if (!v->agreed && code == -ECONNRESET)
		return vmig_vuc_die(v, code, "VERSION",
				    "the server closed the connection at once: it has another user, or is no "
				    "vfio-user server");
	pthread_mutex_lock(&v->lock);
	if (v->calls)
		where = vmig_vuc_command_name(v->calls->command);
	pthread_mutex_unlock(&v->lock);
	return vmig_vuc_die_of(v, code, where);
}

static int receive_command(struct vmig_vuc *v, const struct vmig_vu_header *h, struct vmig_vuc_wait *wait)
{
	struct vmig_vuc_out *out;
	bool surplus;
	int r = vmig_vuc_serve_command(v, &v->in, h, wait, &out);

	if (r < 0)
		return vmig_vuc_die_of(v, r, vmig_vuc_command_name(h->command));
	vmig_vuc_in_take_fds(&v->in, NULL, 0, &surplus);
	if (out)
		vmig_vuc_queue_out(v, out);
	if (surplus)
		return vmig_vuc_die(v, -EPROTO, vmig_vuc_command_name(h->command),
				    "a command of the server's brought descriptors");
	if (out)
		vmig_vuc_flush_out(v, true, wait->sending);
	return 0;
}

/* Read one message and deal with it. Whatever is wrong kills the connection. -EAGAIN: only with wait->try. */
int vmig_vuc_pump(struct vmig_vuc *v, size_t hint, struct vmig_vuc_wait *wait)
{
	struct vmig_vu_header h = { .size = 0 };
	struct vmig_cursor c;
	int r = vmig_vuc_in_fill(&v->in, VMIG_VU_HEADER_SIZE, hint, wait);

	if (r == -EAGAIN)
		return r;
	if (r < 0)
		return no_header(v, r);
	c = vmig_cursor_over(v->in.buf + v->in.start, VMIG_VU_HEADER_SIZE);
	r = vmig_vu_header_decode(&c, &h);
	if (r < 0 || vmig_vu_header_check(&h, VMIG_LIMIT_XFER_DEFAULT) < 0 ||
	    (!v->agreed && !vmig_vu_is_reply(&h)))
		return not_vfio_user(v, &h);
	if (!v->agreed && h.command != VMIG_VU_VERSION)
		return not_vfio_user(v, &h);
	v->in.start += VMIG_VU_HEADER_SIZE;
	return vmig_vu_is_reply(&h) ? receive_reply(v, &h, wait) : receive_command(v, &h, wait);
}

/* How far the next message may be read at once: as far as the oldest call's reply goes, if that is small. */
static size_t hint_of(const struct vmig_vuc *v)
{
	const struct vmig_vuc_call *call = v->calls;
	size_t size = VMIG_VU_HEADER_SIZE;

	if (!call || call->fds_max)
		return size;
	size += call->fixed_max;
	if (size + call->data_max <= VMIG_VUC_IN_SIZE / 2)
		size += call->data_max;
	return MIN(size, (size_t)VMIG_VUC_IN_SIZE);
}

/* Take the role for one message. v->lock is held, the role is free. */
static int lead(struct vmig_vuc *v, struct vmig_vuc_wait *wait)
{
	size_t hint = hint_of(v);
	int r;

	v->leading = true;
	pthread_mutex_unlock(&v->lock);
	r = vmig_vuc_pump(v, hint, wait);
	pthread_mutex_lock(&v->lock);
	v->leading = false;
	return r;
}

/* The role is free: wake one who waits, or else the one who reads for nobody. v->lock is held. */
void vmig_vuc_pass_on(struct vmig_vuc *v)
{
	if (v->leading)
		return;
	for (struct vmig_vuc_call *call = v->calls; call; call = call->next) {
		if (call->waiting) {
			pthread_cond_signal(&call->cond);
			return;
		}
	}
	if (v->has_server)
		pthread_cond_signal(&v->server_cond);
}

void vmig_vuc_read_idle(struct vmig_vuc *v)
{
	struct vmig_vuc_wait wait = vmig_vuc_wait_from_now(v);

	/* What was read too far is the start of a message: the rest of it is due. */
	wait.try = !vmig_vuc_in_buffered(&v->in);
	lead(v, &wait);
	vmig_vuc_pass_on(v);
}

/* Sleep until the call is done or the role is free. v->lock is held. */
static void follow(struct vmig_vuc *v, struct vmig_vuc_call *call, const struct vmig_vuc_wait *wait)
{
	struct timespec until = { .tv_sec = (time_t)(wait->deadline_ns / NS_PER_S),
				  .tv_nsec = (long)(wait->deadline_ns % NS_PER_S) };
	struct vmig_error why;
	int r;

	call->waiting = true;
	/* After the end only a leader's last step is waited for: it comes soon. */
	if (!wait->deadline_ns || v->death.code)
		r = pthread_cond_wait(&call->cond, &v->lock);
	else
		r = pthread_cond_clockwait(&call->cond, &v->lock, CLOCK_MONOTONIC, &until);
	call->waiting = false;
	if (r == ETIMEDOUT && call->state != VMIG_VUC_DONE && !v->death.code) {
		vmig_fault(&why, -ETIMEDOUT, vmig_vuc_command_name(call->command),
			   "the server does not answer");
		vmig_vuc_die_locked(v, &why);
	}
}

int vmig_vuc_wait_for(struct vmig_vuc *v, struct vmig_vuc_call *call)
{
	struct vmig_vuc_wait wait = vmig_vuc_wait_from_now(v);

	pthread_mutex_lock(&v->lock);
	while (call->state != VMIG_VUC_DONE) {
		if (v->leading)
			follow(v, call, &wait);
		else
			lead(v, &wait);
	}
	vmig_vuc_pass_on(v);
	pthread_mutex_unlock(&v->lock);
	return call->result;
}
