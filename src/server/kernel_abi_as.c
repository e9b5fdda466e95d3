/* SPDX-License-Identifier: BSD-3-Clause */
/* An address space, of one container or of one IOAS: its life, and its devices. */
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "server/kernel_abi.h"

int vmig_kabi_as_new(struct vmig_kabi *kabi, struct vmig_kabi_as **ret)
{
	struct vmig_kabi_as *as = calloc(1, sizeof(*as));
	int r;

	if (!as)
		return -ENOMEM;
	r = vmig_space_new(&as->space);
	if (r < 0) {
		free(as);
		return r;
	}
	as->kabi = kabi;
	atomic_init(&as->refs, 1);
	pthread_mutex_init(&as->lock, NULL);
	*ret = as;
	return 0;
}

void vmig_kabi_as_ref(struct vmig_kabi_as *as)
{
	atomic_fetch_add(&as->refs, 1);
}

void vmig_kabi_map_free(struct vmig_kabi_map *map)
{
	if (map->release)
		map->release(map->to_release);
	if (map->own)
		munmap(map->own, (size_t)map->size);
	vmig_closep(&map->fd);
	free(map->kept);
}

void vmig_kabi_as_unref(struct vmig_kabi_as *as)
{
	if (!as || atomic_fetch_sub(&as->refs, 1) > 1)
		return;
	/* The devices first: they hold what is released here. Whoever is attached or joined has a reference. */
	vmig_space_free(as->space);
	for (uint32_t i = 0; i < as->n_maps; i++)
		vmig_kabi_map_free(&as->maps[i]);
	free(as->maps);
	free(as->members);
	free(as->users);
	free(as->allowed);
	pthread_mutex_destroy(&as->lock);
	free(as);
}

/* --- members ------------------------------------------------------------------------------- */

int vmig_kabi_as_join(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot)
{
	struct vmig_kabi_slot **members;
	int r = 0;

	pthread_mutex_lock(&as->lock);
	members = reallocarray(as->members, as->n_members + 1, sizeof(*members));
	if (members) {
		as->members = members;
		members[as->n_members++] = slot;
	} else {
		r = -ENOMEM;
	}
	pthread_mutex_unlock(&as->lock);
	return r;
}

void vmig_kabi_as_leave(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot)
{
	pthread_mutex_lock(&as->lock);
	for (uint32_t i = 0; i < as->n_members; i++) {
		if (as->members[i] == slot) {
			as->members[i] = as->members[--as->n_members];
			break;
		}
	}
	pthread_mutex_unlock(&as->lock);
}

/* --- attach ------------------------------------------------------------------------------- */

static int attach_locked(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot)
{
	struct vmig_kabi_user *users = reallocarray(as->users, as->n_users + 1, sizeof(*users));
	int r;

	if (!users)
		return -ENOMEM;
	as->users = users;
	r = vmig_space_attach(as->space, slot->dev);
	if (r < 0) {
		vmig_log(VMIG_LOG_ERROR, "%s does not take the mappings that there are: %s", slot->info.name,
			 strerror(-r));
		return r;
	}
	users[as->n_users] = (struct vmig_kabi_user){ .slot = slot };
	if (as->tracks)
		r = vmig_kabi_track_user(as, &users[as->n_users]);
	if (r < 0) {
		vmig_space_detach(as->space, slot->dev);
		return r;
	}
	as->n_users++;
	return 0;
}

int vmig_kabi_as_attach(struct vmig_kabi_as *as, struct vmig_kabi_slot *slot)
{
	int r;

	pthread_mutex_lock(&as->lock);
	r = attach_locked(as, slot);
	pthread_mutex_unlock(&as->lock);
	if (r < 0)
		return r;
	vmig_kabi_as_ref(as);
	slot->as = as;
	return 0;
}

void vmig_kabi_as_detach(struct vmig_kabi_slot *slot)
{
	struct vmig_kabi_as *as = slot->as;

	if (!as)
		return;
	pthread_mutex_lock(&as->lock);
	for (uint32_t i = 0; i < as->n_users; i++) {
		if (as->users[i].slot != slot)
			continue;
		vmig_space_detach(as->space, slot->dev);
		vmig_kabi_track_leave(as, &as->users[i]);
		as->users[i] = as->users[--as->n_users];
		break;
	}
	pthread_mutex_unlock(&as->lock);
	slot->as = NULL;
	vmig_kabi_as_unref(as);
}
