/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's life: made of what the caller gives, its threads, and the two functions that migrate. Its loop is in driver-loop.c. */
#include "engine/driver.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/util.h"

static void init_cond(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

/* A record is for what goes from one owner to another: not for files, nor for questions. */
static void configure_owner(struct vmig_driver *driver, struct vmig_core_config *config)
{
	const struct vmig_migrate_options *o = driver->options;

	memcpy(config->attempt.bytes, driver->conns[0]->out.attempt, sizeof(config->attempt.bytes));
	if (!driver->scratch)
		return;
	config->owned = true;
	config->me = o->me;
	config->name_by_server = o->name_by_server;
	config->scratch = driver->scratch;
	vmig_uuid_new(&config->nonce);
	for (uint32_t i = 0; driver->source && i < driver->n; i++) {
		vmig_uuid_new(&driver->devices[i].fresh);
		if (o->ids)
			driver->devices[i].given = o->ids[i];
	}
}

/* That this end asks for, or the most that it takes. */
static uint32_t connections(const struct vmig_driver *driver)
{
	const struct vmig_migrate_options *o = driver->options;

	if (!o->more || driver->one_way || o->probe)
		return 1;
	if (!o->connections)
		return driver->source ? 1 : VMIG_LIMIT_CONNECTIONS;
	return driver->source ? MIN(o->connections, driver->n) : o->connections;
}

static void configure(struct vmig_driver *driver)
{
	const struct vmig_migrate_options *o = driver->options;
	struct vmig_core_config config = {
		.source = driver->source,
		.one_way = driver->one_way,
		.keep_source = o->keep_source,
		.no_precopy = o->no_precopy,
		.probe = o->probe,
		.paper = o->paper,
		.downtime_ns = o->downtime_ns ? o->downtime_ns : 300 * NS_PER_MS,
		.timeout_ns = o->timeout_ns ? o->timeout_ns : 30 * NS_PER_S,
		.bandwidth = o->bandwidth,
		.connections = connections(driver),
		.max_time_ns = o->max_time_ns,
		.max_rounds = o->max_rounds                                ? o->max_rounds
			      : o->on_no_converge == VMIG_NO_CONVERGE_WAIT ? UINT32_MAX
									   : 30,
		.on_no_converge = o->on_no_converge,
		.allow_no_p2p = o->allow_no_p2p,
	};
	uint64_t ms = config.timeout_ns / NS_PER_MS;

	for (uint32_t i = 0; i < driver->n; i++)
		vmig_device_query_info(driver->workers[i].dev, &driver->devices[i].info);
	configure_owner(driver, &config);
	vmig_core_init(&driver->core, &config, driver->devices, driver->n);
	/* Over a pipe nobody can say that he is still there. */
	vmig_channel_set_timeout(driver->conns[0]->channel,
				 driver->one_way ? 0 : (uint32_t)MIN(MAX(ms, 1), UINT32_MAX));
}

static int start_threads(struct vmig_driver *driver)
{
	int r;

	for (uint32_t i = 0; i < driver->n; i++) {
		struct vmig_worker *w = &driver->workers[i];

		r = pthread_create(&w->thread, NULL, vmig_worker_run, w);
		if (r)
			return -r;
		w->started = true;
		pthread_setname_np(w->thread, "vmig-worker");
	}
	r = vmig_asker_start(&driver->asker);
	if (r)
		return r;
	if (driver->one_way && driver->source)
		return 0;
	return vmig_conn_start(driver->conns[0]);
}

static void stop_threads(struct vmig_driver *driver)
{
	pthread_mutex_lock(&driver->lock);
	driver->quit = true;
	pthread_cond_broadcast(&driver->receiver_wake);
	for (uint32_t i = 0; i < driver->n; i++) {
		driver->workers[i].quit = true;
		pthread_cond_signal(&driver->workers[i].wake);
	}
	pthread_mutex_unlock(&driver->lock);
	vmig_driver_shut_down(driver);
	vmig_asker_stop(&driver->asker);
	vmig_driver_close_more(driver);
	for (uint32_t i = 0; i < driver->n; i++)
		if (driver->workers[i].started)
			pthread_join(driver->workers[i].thread, NULL);
}

static void free_driver(struct vmig_driver *driver)
{
	for (uint32_t i = 0; driver->workers && i < driver->n; i++) {
		pthread_cond_destroy(&driver->workers[i].wake);
		pthread_mutex_destroy(&driver->workers[i].data_lock);
		vmig_papers_done(&driver->workers[i].papers);
	}
	if (driver->records)
		vmig_driver_free_records(driver);
	for (uint32_t i = 1; i < VMIG_LIMIT_CONNECTIONS; i++)
		if (driver->conns[i])
			vmig_channel_close(driver->conns[i]->channel);
	for (uint32_t i = 0; i < VMIG_LIMIT_CONNECTIONS; i++)
		vmig_conn_free(driver->conns[i]);
	vmig_pace_done(&driver->pace);
	vmig_asker_done(&driver->asker);
	free(driver->scratch);
	pthread_cond_destroy(&driver->main_wake);
	pthread_cond_destroy(&driver->receiver_wake);
	pthread_mutex_destroy(&driver->lock);
	free(driver->workers);
	free(driver->devices);
	free(driver);
}

static struct vmig_driver *new_driver(struct vmig_device *const *devices, uint32_t n,
				      struct vmig_channel *channel, struct vmig_owner *owner)
{
	struct vmig_driver *driver = calloc(1, sizeof(*driver));
	int r;

	if (!driver)
		return NULL;
	driver->n = n;
	driver->n_conns = 1;
	driver->one_way = vmig_channel_one_way(channel);
	pthread_mutex_init(&driver->lock, NULL);
	init_cond(&driver->main_wake);
	init_cond(&driver->receiver_wake);
	vmig_pace_init(&driver->pace, 0);
	driver->conns[0] = vmig_conn_new(driver, 0, channel, NULL);
	r = vmig_asker_init(&driver->asker, owner, n, &driver->lock, &driver->main_wake);
	driver->scratch = owner ? calloc(n, sizeof(*driver->scratch)) : NULL;
	driver->workers = calloc(n, sizeof(*driver->workers));
	driver->devices = calloc(n, sizeof(*driver->devices));
	driver->records = calloc(n, sizeof(*driver->records));
	for (uint32_t i = 0; driver->workers && i < n; i++) {
		struct vmig_worker *w = &driver->workers[i];

		w->driver = driver;
		w->dev = devices[i];
		w->index = i;
		init_cond(&w->wake);
		pthread_mutex_init(&w->data_lock, NULL);
	}
	if (!r && driver->workers && driver->devices && driver->records && driver->conns[0] &&
	    (driver->scratch || !owner))
		return driver;
	free_driver(driver);
	return NULL;
}

static void fill_attempt(struct vmig_driver *driver)
{
	uint8_t *id = driver->conns[0]->out.attempt;

	if (getrandom(id, sizeof(driver->conns[0]->out.attempt), 0) < 0) {
		uint64_t now = vmig_now_ns() ^ ((uint64_t)getpid() << 40);

		memcpy(id, &now, sizeof(now));
	}
	/* A random UUID (version 4). */
	id[6] = (id[6] & 0x0f) | 0x40;
	id[8] = (id[8] & 0x3f) | 0x80;
}

static int run(struct vmig_driver *driver)
{
	int r = start_threads(driver);

	if (!r)
		vmig_driver_loop(driver);
	stop_threads(driver);
	return r;
}

static bool distinct(struct vmig_device *const *devices, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!devices[i])
			return false;
		for (uint32_t j = 0; j < i; j++)
			if (devices[i] == devices[j])
				return false;
	}
	return true;
}

static int refuse_file(struct vmig_migrate_result *ret, const struct vmig_error *error)
{
	ret->outcome = VMIG_BAD_INPUT;
	ret->code = error->code;
	snprintf(ret->reason, sizeof(ret->reason), "%s", error->text);
	return VMIG_BAD_INPUT;
}

static bool fits(const struct vmig_migrate_options *o, const struct vmig_channel *channel, bool source)
{
	bool one_way = vmig_channel_one_way(channel);

	return (!o->keep_source || (source && one_way)) && (!o->probe || (source && !one_way)) &&
	       (!o->paper || o->probe) && o->on_no_converge <= VMIG_NO_CONVERGE_WAIT &&
	       (!o->owner || (o->me && *o->me && strnlen(o->me, VMIG_OWNER_NAME_MAX) < VMIG_OWNER_NAME_MAX));
}

static int migrate(struct vmig_device *const *devices, uint32_t n, struct vmig_channel *channel, bool source,
		   const struct vmig_migrate_user *user, const struct vmig_migrate_options *options,
		   struct vmig_migrate_result *ret)
{
	static const struct vmig_migrate_options no_options;
	static const struct vmig_migrate_user no_user;
	const struct vmig_migrate_options *o = options ? options : &no_options;
	struct vmig_driver *driver;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!n || n > VMIG_MIGRATE_DEVICES_MAX || !channel || !distinct(devices, n) ||
	    !fits(o, channel, source))
		return -EINVAL;
	driver = new_driver(devices, n, channel, vmig_channel_one_way(channel) || o->probe ? NULL : o->owner);
	if (!driver)
		return -ENOMEM;
	driver->source = source;
	driver->user = user ? user : &no_user;
	driver->options = o;
	driver->pace.bandwidth = o->bandwidth;
	driver->conns[0]->out.bandwidth = o->bandwidth;
	if (source) {
		fill_attempt(driver);
		vmig_intake_init(&driver->conns[0]->in, channel, driver->conns[0]->out.attempt,
				 &driver->heard_ns);
	}
	configure(driver);
	r = run(driver);
	if (!r) {
		*ret = driver->core.result;
		r = (int)ret->outcome;
	}
	free_driver(driver);
	return r;
}

int vmig_migrate_source(struct vmig_device *const *devices, uint32_t n, struct vmig_channel *channel,
			const struct vmig_migrate_user *user, const struct vmig_migrate_options *options,
			struct vmig_migrate_result *ret)
{
	return migrate(devices, n, channel, true, user, options, ret);
}

int vmig_migrate_destination(struct vmig_device *const *devices, uint32_t n, struct vmig_channel *channel,
			     const struct vmig_migrate_user *user, const struct vmig_migrate_options *options,
			     struct vmig_migrate_result *ret)
{
	struct vmig_error error = { 0 };

	memset(ret, 0, sizeof(*ret));
	if (channel && vmig_channel_one_way(channel) && !vmig_channel_rewind(channel) &&
	    vmig_driver_scan(channel, &error))
		return refuse_file(ret, &error);
	return migrate(devices, n, channel, false, user, options, ret);
}
