/* SPDX-License-Identifier: BSD-3-Clause */
#include "check-drive.h"

#include "models/workload.h"

static int start(struct vmig_device *dev, struct vmig_space *space, bool peer, void **ret)
{
	struct workload *w;
	int r = workload_new(space, &w);

	if (r)
		return r;
	workload_split(w, peer);
	r = workload_bind(w, dev);
	if (!r)
		r = workload_start(w);
	if (r)
		workload_free(w);
	else
		*ret = w;
	return r;
}

static int pause_work(void *work)
{
	return workload_quiesce(work);
}

static int resume(void *work)
{
	return workload_resume(work);
}

static uint64_t interrupts(void *work)
{
	return workload_interrupts(work);
}

static int set_up_again(void *work)
{
	return workload_set_up_again(work);
}

static void end(void *work)
{
	workload_free(work);
}

const struct check_driver check_drive_workload = {
	.drives = workload_drives,
	.start = start,
	.pause = pause_work,
	.resume = resume,
	.interrupts = interrupts,
	.set_up_again = set_up_again,
	.end = end,
};
