/* SPDX-License-Identifier: BSD-3-Clause */
/* The names of the code, as the model of the hand-over must have them: "KIND NAME" in each line. */
#include <stdio.h>

#include <vmig/vmig.h>

int main(void)
{
	const char *name;

	for (int i = 0; i < VMIG_STAGE_NR; i++)
		printf("stage %s\n", vmig_stage_name((enum vmig_stage)i));
	for (int i = 0; i < VMIG_OWNER_STEP_NR; i++)
		printf("step %s\n", vmig_owner_step_name((enum vmig_owner_step)i));
	for (int i = 0; (name = vmig_owner_phase_name((enum vmig_owner_phase)i)); i++)
		printf("phase %s\n", name);
	for (int i = 0; (name = vmig_owner_verdict_name((enum vmig_owner_verdict)i)); i++)
		printf("verdict %s\n", name);
	for (uint32_t i = 0; i < VMIG_STATE_NR; i++)
		printf("state %s\n", vmig_state_name(i));
	return 0;
}
