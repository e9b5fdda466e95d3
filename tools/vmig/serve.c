/* SPDX-License-Identifier: BSD-3-Clause */
/* A device process as the backend conventions of vfio-user have it: --socket-path or --fd, SIGTERM, no daemon. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device.h"
#include "harden.h"
#include "log-file.h"
#include "models/models.h"
#include "models/mutants/mutants.h"
#include "open.h"

/* What a signal ends: the server that listens, or the one connection. */
static struct vmig_server *volatile listening;
static volatile int connected_fd = -1;
static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
	ended = 1;
	if (listening)
		vmig_server_stop(listening);
	if (connected_fd >= 0)
		shutdown(connected_fd, SHUT_RDWR);
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

static void say_ready(const char *where)
{
	printf("ready: %s\n", where);
	fflush(stdout);
}

static const char *what_to_do(int code)
{
	switch (code) {
	case EADDRINUSE:
		return "; somebody listens there: take another path, or end the other server";
	case ENOENT:
		return "; make the folder first";
	case EACCES:
	case EPERM:
	case EROFS:
		return "; take a folder that may be written to";
	case ENAMETOOLONG:
		return "; the path of a UNIX socket has at most 107 bytes";
	default:
		return "";
	}
}

static int serve_listening(struct vmig_device *dev, const struct vmig_server_config *config,
			   const char *where, bool sandbox)
{
	struct vmig_server *server;
	int r;

	catch_signals();
	r = vmig_server_new(dev, config, &server);
	if (r)
		return tool_fail(VMIG_NOT_DONE, "%s: cannot listen: %s%s", where, strerror(-r),
				 what_to_do(-r));
	if (sandbox)
		harden_calls(HARDEN_SERVE);
	listening = server;
	say_ready(where);
	r = ended ? 0 : vmig_server_run(server);
	listening = NULL;
	vmig_server_free(server);
	return r ? tool_fail(VMIG_NOT_DONE, "%s: the server has ended: %s", where, strerror(-r)) : 0;
}

static int serve_connected(struct vmig_device *dev, const struct vmig_server_config *config, int fd,
			   const char *where, bool sandbox)
{
	int r;

	/* A descriptor of our own, so that a late signal shuts down nothing else. */
	connected_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	catch_signals();
	if (sandbox)
		harden_calls(HARDEN_SERVE);
	say_ready(where);
	if (ended)
		shutdown(fd, SHUT_RDWR);
	r = vmig_server_serve(dev, config, fd);
	if (r && !ended)
		return tool_fail(VMIG_NOT_DONE, "%s: the client was served no longer: %s", where,
				 strerror(-r));
	return 0;
}

static int parse_fd(const char *text, int *ret_fd, int *ret_listens)
{
	socklen_t len = sizeof(*ret_listens);
	char *end;
	long fd;

	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || *end || end == text || fd < 0 || fd > 1 << 20)
		return tool_fail(VMIG_BAD_INPUT, "--fd: '%s' is not the number of a descriptor", text);
	if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, ret_listens, &len))
		return tool_fail(VMIG_BAD_INPUT, "--fd: descriptor %ld is no open socket: %s", fd,
				 strerror(errno));
	*ret_fd = (int)fd;
	return 0;
}

static int serve(const struct tool_options *o, struct vmig_device *dev)
{
	struct vmig_server_config config = { .socket_path = o->socket, .fd = -1, .plain = o->plain };
	char where[TOOL_TEXT_MAX];
	int listens = 0, r;

	if (o->socket)
		return serve_listening(dev, &config, o->socket, !o->no_sandbox);
	r = parse_fd(o->fd, &config.fd, &listens);
	if (r)
		return r;
	snprintf(where, sizeof(where), "fd %d", config.fd);
	return listens ? serve_listening(dev, &config, where, !o->no_sandbox)
		       : serve_connected(dev, &config, config.fd, where, !o->no_sandbox);
}

/* Before the model's threads are there, since each would have to do it for itself. */
static void give_up_files(const struct tool_options *o)
{
	const struct harden_path path = { .path = o->socket, .access = HARDEN_SOCKET, .folder = true };

	harden_process(false);
	harden_files(&path, 1);
}

static int run(const struct tool_options *o)
{
	struct vmig_device *dev;
	int r;

	if (!o->socket == !o->fd)
		return tool_fail(VMIG_BAD_INPUT, "either --socket PATH or --fd N has to say where to serve");
	if (o->n_words > 1)
		return tool_fail(VMIG_BAD_INPUT, "one MODEL at a time: what is '%s'?", o->words[1]);
	if (o->log) {
		r = log_file_open(o->log);
		if (r)
			return tool_fail(VMIG_BAD_INPUT, "--log %s: cannot be written: %s", o->log,
					 strerror(-r));
	}
	if (!o->no_sandbox)
		give_up_files(o);
	r = tool_model_open(o->words[0], o->words[0], &dev);
	if (!r) {
		r = serve(o, dev);
		vmig_device_close(dev);
	}
	return r;
}

static void print_models(FILE *to)
{
	char left[40];

	for (const struct model_info *model = models_list(); model->name; model++) {
		fprintf(to, "\n  model %-10s %s\n", model->name, model->summary);
		for (const struct model_key *key = models_keys(model->name); key->name; key++) {
			snprintf(left, sizeof(left), "%s=%s", key->name, key->value);
			fprintf(to, "    %-20s %s\n", left, key->summary);
		}
	}
	fprintf(to, "\n  fault=rule:NAME, of any of them: one rule of the protocol is broken, for `vmig "
		    "check`\n");
	for (const struct mutant_name *rule = mutant_names; rule->name; rule++)
		fprintf(to, "    %-26s %s\n", rule->name, rule->broken);
	fprintf(to, "\n  of any of them, and behind any other DEVICE too:\n");
	open_print_keys(to);
}

const struct tool_verb tool_serve = {
	.name = "serve",
	.words = "MODEL[,KEY=VALUE...]",
	.about = "a reference device as a vfio-user server",
	.more = "One process, one device. It prints \"ready: PATH\" when it listens and serves one client "
		"after the other,\n"
		"until SIGTERM or SIGINT. The device keeps its state from client to client.",
	.example = "vmig serve nic,state=1G,dirty-rate=100M/s --socket /run/nic.sock",
	.options = TOOL_OPT_SERVE | TOOL_OPT_SANDBOX,
	.min_words = 1,
	.run = run,
	.print_more = print_models,
};
