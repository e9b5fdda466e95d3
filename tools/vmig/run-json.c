/* SPDX-License-Identifier: BSD-3-Clause */
#include "run-json.h"

#include <errno.h>
#include <string.h>

#include "report.h"

#define V1 (1u << 31)

const char *run_text_state(uint32_t state, char buf[TOOL_TEXT_MAX])
{
	/* By the bits _RUNNING 1, _SAVING 2, _RESUMING 4; the words of the v1 text. */
	static const char *const v1[] = { "v1-stop",     "v1-running", "v1-stop-and-copy", "v1-pre-copy",
					  "v1-resuming", "v1-invalid", "v1-error",         "v1-invalid" };

	if (!(state & V1))
		return tool_text_state(state, buf);
	snprintf(buf, TOOL_TEXT_MAX, "%s", v1[state & 7]);
	return buf;
}

/* The devices' side writes while this looks on, perhaps in this very process. */
#define LOOK(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

static json_t *text(const char *words, size_t room)
{
	json_t *o = json_stringn(words, strnlen(words, room));

	return o ? o : json_string("?"); /* no UTF-8 */
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)(value > INT64_MAX ? INT64_MAX : value));
}

/* Whoever has the devices wrote it: any number. */
static int error_of(int32_t result)
{
	return result < 0 && result > -4096 ? -result : EPROTO;
}

static json_t *states_json(const struct vmig_kabi_status *s)
{
	/* An entry is whole before it is counted. */
	uint32_t n = __atomic_load_n(&s->n_states, __ATOMIC_ACQUIRE),
		 first = n > VMIG_KABI_STATES ? n - VMIG_KABI_STATES : 0;
	json_t *array = json_array(), *o;
	char buf[TOOL_TEXT_MAX];

	for (uint32_t i = 0; i < n - first; i++) {
		uint32_t at = (first + i) % VMIG_KABI_STATES;

		o = json_pack("{s:s, s:o}", "device-state", run_text_state(s->states[at].state, buf),
			      "time-ns", number(s->states[at].time_ns));
		if (s->states[at].result)
			json_object_set_new(o, "error", text(strerror(error_of(s->states[at].result)), 128));
		json_array_append_new(array, o);
	}
	return array;
}

static json_t *device_json(const struct run *run, uint32_t i)
{
	const struct run_device_spec *spec = &run->shared->devices[i];
	const struct vmig_kabi_status *s = &run->shared->status[i];
	char folder[PATH_MAX], buf[TOOL_TEXT_MAX];
	json_t *o;

	run_folder_device(run, i, folder);
	o = json_pack("{s:o, s:i, s:s, s:b, s:s}", "device-id", text(spec->spec, sizeof(spec->spec)), "group",
		      (int)(RUN_GROUP + i), "sysfsdev", folder, "open", LOOK(s->opened) != 0, "device-state",
		      LOOK(s->n_states) ? run_text_state(LOOK(s->state), buf) : "unknown");
	json_object_set_new(o, "states", states_json(s));
	json_object_set_new(o, "n-states", number(LOOK(s->n_states)));
	json_object_set_new(o, "resets", number(LOOK(s->n_resets)));
	json_object_set_new(o, "saved", number(LOOK(s->saved)));
	json_object_set_new(o, "loaded", number(LOOK(s->loaded)));
	json_object_set_new(o, "reports", number(LOOK(s->n_reports)));
	json_object_set_new(o, "dirty-pages", number(LOOK(s->dirty_pages)));
	json_object_set_new(o, "interrupts", number(LOOK(s->n_interrupts)));
	return o;
}

json_t *run_json_info(const struct run *run, pid_t pid)
{
	json_t *devices = json_array(), *command = json_array();

	for (int i = 0; run->command[i]; i++)
		json_array_append_new(command, text(run->command[i], PATH_MAX));
	for (uint32_t i = 0; i < run->shared->n_devices && i < RUN_DEVICES_MAX; i++)
		json_array_append_new(devices, device_json(run, i));
	return json_pack("{s:i, s:s, s:i, s:s, s:o, s:o, s:o, s:o}", "vmig-run", RUN_PROTOCOL, "name",
			 run->name, "pid", (int)pid, "intercept", run->way->name, "command", command,
			 "devices", devices, "calls", number(run_ring_count(&run->shared->ring)), "dropped",
			 number(LOOK(run->shared->ring.dropped)));
}

static const char *const kinds[] = { "container", "group", "device", "iommufd", "data" };
static const char *const ops[] = { "open", "close", "ioctl", "read", "write", "mmap" };

json_t *run_json_call(const struct vmig_kabi_call *call, uint64_t n)
{
	char line[512];
	json_t *o;

	o = json_pack("{s:o, s:o, s:o, s:i, s:i, s:s, s:s}", "n", number(n), "time-ns", number(call->time_ns),
		      "took-ns", number(call->took_ns), "pid", (int)call->pid, "tid", (int)call->tid, "file",
		      call->kind < TOOL_ARRAY_SIZE(kinds) ? kinds[call->kind] : "?", "op",
		      call->op < TOOL_ARRAY_SIZE(ops) ? ops[call->op] : "?");
	if (call->device != UINT16_MAX)
		json_object_set_new(o, "device", json_integer(call->device));
	if (call->op == VMIG_KABI_IOCTL)
		json_object_set_new(o, "request", number(call->request));
	json_object_set_new(o, "offset", number(call->offset));
	json_object_set_new(o, "len", number(call->len));
	json_object_set_new(o, "result", json_integer((json_int_t)call->result));
	json_object_set_new(o, "text", text(vmig_kabi_call_text(call, line, sizeof(line)), sizeof(line)));
	return o;
}
