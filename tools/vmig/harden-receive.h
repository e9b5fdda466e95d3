/* SPDX-License-Identifier: BSD-3-Clause */
/** harden-receive - what a 'vmig receive' keeps. */
#ifndef VMIG_TOOLS_HARDEN_RECEIVE_H
#define VMIG_TOOLS_HARDEN_RECEIVE_H

/** It listens at @address, its devices are open and its keys are read. @owner: the record's URL; "": there is none. */
void harden_receive(const char *address, const char *owner);

#endif
