/* SPDX-License-Identifier: BSD-3-Clause */
/* The handle: which store, and what none of them is asked to do. */
#include <pthread.h>
#include <string.h>

#include "base/limits.h"
#include "owner/store.h"

#define TIMEOUT_MS 5000

struct vmig_owner {
	const struct vmig_store_ops *ops;
	void *store;
	pthread_mutex_t lock;
};

static const struct vmig_store_ops *const stores[] = { &vmig_store_sqlite, &vmig_store_etcd };

int vmig_store_lost(const struct vmig_ownership *is, struct vmig_error *error)
{
	char text[VMIG_UUID_TEXT_MAX];

	if (!is->phase)
		return vmig_fault(error, -EAGAIN, "owner", "device %s: has no record",
				  vmig_uuid_text(&is->device, text));
	return vmig_fault(error, -EAGAIN, "owner", "device %s: owner is %.80s, epoch %llu, %s",
			  vmig_uuid_text(&is->device, text), is->owner, (unsigned long long)is->epoch,
			  vmig_owner_phase_name(is->phase));
}

static const struct vmig_store_ops *find_store(const char *url, const char **ret_rest)
{
	for (size_t i = 0; i < ARRAY_SIZE(stores); i++) {
		size_t len = strlen(stores[i]->scheme);

		if (strncmp(url, stores[i]->scheme, len) || url[len] != ':')
			continue;
		*ret_rest = url + len + 1;
		return stores[i];
	}
	return NULL;
}

int vmig_owner_open(const char *url, uint32_t timeout_ms, struct vmig_owner **ret,
		    struct vmig_error *ret_error)
{
	_autofree_ struct vmig_owner *owner = calloc(1, sizeof(*owner));
	const char *rest = NULL;
	int r;

	if (!owner)
		return vmig_fault(ret_error, -ENOMEM, "owner", "no memory");
	owner->ops = find_store(url, &rest);
	if (!owner->ops)
		return vmig_fault(ret_error, -EINVAL, "owner",
				  "'%.100s' names no store: it is 'sqlite:PATH' or 'etcd:http://HOST:PORT'",
				  url);
	r = owner->ops->open(rest, timeout_ms ? timeout_ms : TIMEOUT_MS, &owner->store, ret_error);
	if (r)
		return r;
	pthread_mutex_init(&owner->lock, NULL);
	*ret = steal_ptr(owner);
	return 0;
}

void vmig_owner_close(struct vmig_owner *owner)
{
	if (!owner)
		return;
	owner->ops->close(owner->store);
	pthread_mutex_destroy(&owner->lock);
	free(owner);
}

int vmig_owner_query(struct vmig_owner *owner, struct vmig_uuid *ret_store, uint32_t *ret_unit_max,
		     struct vmig_error *ret_error)
{
	int r;

	pthread_mutex_lock(&owner->lock);
	r = owner->ops->query(owner->store, ret_store, ret_error);
	pthread_mutex_unlock(&owner->lock);
	if (!r && ret_unit_max)
		*ret_unit_max = owner->ops->unit_max;
	return r;
}

static int check_count(const struct vmig_owner *owner, uint32_t n, struct vmig_error *error)
{
	if (!n)
		return vmig_fault(error, -EINVAL, "owner", "no device is named");
	if (n > owner->ops->unit_max)
		return vmig_fault(error, -E2BIG, "owner", "%u devices: %s takes at most %u at once", n,
				  owner->ops->scheme, owner->ops->unit_max);
	return 0;
}

static int fault_device(struct vmig_error *error, const struct vmig_uuid *device, const char *what)
{
	char text[VMIG_UUID_TEXT_MAX];

	return vmig_fault(error, -EINVAL, "owner", "device %s: %s", vmig_uuid_text(device, text), what);
}

int vmig_owner_read(struct vmig_owner *owner, const struct vmig_uuid *devices, uint32_t n,
		    struct vmig_ownership *ret, struct vmig_error *ret_error)
{
	int r = check_count(owner, n, ret_error);

	for (uint32_t i = 0; i < n && !r; i++)
		if (vmig_uuid_is_none(&devices[i]))
			r = fault_device(ret_error, &devices[i], "no device has this identity");
	if (r)
		return r;
	pthread_mutex_lock(&owner->lock);
	r = owner->ops->read(owner->store, devices, n, ret, ret_error);
	pthread_mutex_unlock(&owner->lock);
	return r;
}

static int check_swap(const struct vmig_ownership *now, const struct vmig_ownership *next, uint32_t n,
		      struct vmig_error *error)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!vmig_ownership_ok(&next[i]) || (now[i].phase && !vmig_ownership_ok(&now[i])))
			return fault_device(error, &next[i].device, "there can be no such record");
		if (!vmig_uuid_equal(&now[i].device, &next[i].device))
			return fault_device(error, &next[i].device,
					    "its record cannot become another device's");
		for (uint32_t j = 0; j < i; j++)
			if (vmig_uuid_equal(&next[i].device, &next[j].device))
				return fault_device(error, &next[i].device, "is named twice");
	}
	return 0;
}

int vmig_owner_swap(struct vmig_owner *owner, const struct vmig_ownership *now,
		    const struct vmig_ownership *next, uint32_t n, struct vmig_error *ret_error)
{
	int r = check_count(owner, n, ret_error);

	if (!r)
		r = check_swap(now, next, n, ret_error);
	if (r)
		return r;
	pthread_mutex_lock(&owner->lock);
	r = owner->ops->swap(owner->store, now, next, n, ret_error);
	pthread_mutex_unlock(&owner->lock);
	return r;
}

int vmig_owner_list(struct vmig_owner *owner, int (*each)(const struct vmig_ownership *, void *),
		    void *opaque, struct vmig_error *ret_error)
{
	int r;

	pthread_mutex_lock(&owner->lock);
	r = owner->ops->list(owner->store, each, opaque, ret_error);
	pthread_mutex_unlock(&owner->lock);
	return r;
}
