/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"
int run_control_new(struct run *run, struct run_control **ret)
{
	*ret = NULL;
	return 0;
}
int run_control_fds(const struct run_control *control, struct pollfd *fds, int max, int *ret_ms)
{
	return 0;
}
void run_control_step(struct run_control *control, const struct pollfd *fds, int n)
{
}
void run_control_free(struct run_control *control, int status)
{
}
