/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is known before anything moves. The source's worker asks its device what it is and what its driver would be judged
 * by; the destination's holds that against its own: first the descriptors, then, with the last word, the driver.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <vmig/compat.h>

#include "base/util.h"
#include "engine/driver.h"

void vmig_papers_done(struct vmig_papers *papers)
{
	free(papers->descriptor);
	free(papers->opaque);
	*papers = (struct vmig_papers){ 0 };
}

/* --- source ------------------------------------------------------------------------------------ */

static int ask_opaque(struct vmig_device *dev, struct vmig_papers *papers)
{
	int r;

	papers->opaque = malloc(VMIG_DEVICE_OPAQUE_MAX);
	if (!papers->opaque)
		return -ENOMEM;
	r = vmig_device_query_opaque(dev, papers->opaque, &papers->opaque_len);
	if (!r)
		return 0;
	free(papers->opaque);
	papers->opaque = NULL;
	papers->opaque_len = 0;
	return r;
}

/* Who asked for no PRE_COPY does not get one in order to hear a version. */
static bool may_ask(const struct vmig_worker *w)
{
	struct vmig_device_info info;

	vmig_device_query_info(w->dev, &info);
	return !w->driver->options->no_precopy || !(info.traits & VMIG_TRAIT_MATCH_FIRST);
}

/* Who tells nothing of itself is judged by identity and format, as ever. */
void vmig_worker_describe(struct vmig_worker *w, struct vmig_core_event *end)
{
	struct vmig_papers *papers = &w->papers;
	uint32_t state = VMIG_STATE_NONE;
	int r;

	vmig_papers_done(papers);
	if (vmig_device_query_stop_copy_size(w->dev, &end->size))
		end->size = VMIG_OFFER_SIZE_UNKNOWN;
	if (vmig_device_query_descriptor(w->dev, &papers->descriptor))
		papers->descriptor = NULL;
	r = may_ask(w) ? ask_opaque(w->dev, papers) : -EOPNOTSUPP;
	if (r && r != -EOPNOTSUPP &&
	    (vmig_device_query_state(w->dev, &state) || state != VMIG_STATE_RUNNING)) {
		end->code = r;
		vmig_driver_words(w->dev, r, w->text);
	}
	end->descriptor = papers->descriptor;
	end->descriptor_len = papers->descriptor ? (uint32_t)strlen(papers->descriptor) : 0;
	end->opaque = papers->opaque;
	end->opaque_len = (uint32_t)papers->opaque_len;
}

/* --- destination -------------------------------------------------------------------------------- */

int vmig_driver_keep_offer(struct vmig_driver *driver, uint32_t device, const void *payload, uint32_t len)
{
	struct vmig_papers *papers = &driver->workers[device].papers;
	struct vmig_cursor c = vmig_cursor_over(payload, len);
	struct vmig_offer offer;

	if (vmig_offer_get(&c, &offer))
		return 0;
	vmig_papers_done(papers);
	if (offer.descriptor_len) {
		papers->descriptor = strndup(offer.descriptor, offer.descriptor_len);
		if (!papers->descriptor)
			return -ENOMEM;
	}
	if (offer.opaque_len) {
		papers->opaque = malloc(offer.opaque_len);
		if (!papers->opaque)
			return -ENOMEM;
		memcpy(papers->opaque, offer.opaque, offer.opaque_len);
		papers->opaque_len = offer.opaque_len;
	}
	return 0;
}

/* What is said here goes to a terminal one day, and came from a peer. */
__attribute__((format(printf, 2, 3))) static void say(struct vmig_worker *w, const char *format, ...)
{
	size_t have = strlen(w->reasons), room = sizeof(w->reasons) - have;
	va_list ap;

	if (have && room > 1) {
		w->reasons[have++] = '\n';
		room--;
	}
	va_start(ap, format);
	vsnprintf(w->reasons + have, room, format, ap);
	va_end(ap);
	for (char *at = w->reasons + have; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
}

static void say_rows(struct vmig_worker *w, const struct vmig_compat_answer *answer)
{
	bool any = false;

	for (size_t i = 0; i < answer->n_rows; i++) {
		const struct vmig_compat_row *row = &answer->rows[i];

		if (row->verdict == VMIG_COMPAT_OK || row->verdict == VMIG_COMPAT_IGNORED)
			continue;
		any = true;
		say(w, "%s: %s (has %s, accepted is %s)", row->attribute, row->reason,
		    row->has ? row->has : "nothing", row->accepted ? row->accepted : "nothing");
	}
	if (!any)
		say(w, "%s", answer->reason);
}

static enum vmig_verdict hold_against(struct vmig_worker *w, const struct vmig_descriptor *theirs,
				      const struct vmig_descriptor *ours)
{
	struct vmig_compat_answer *answer = NULL;
	struct vmig_error error;
	enum vmig_verdict verdict = VMIG_VERDICT_NO;

	if (vmig_compat_check(theirs, ours, NULL, &answer, &error)) {
		say(w, "its descriptor cannot be compared: %s", error.text);
		return verdict;
	}
	if (answer->compatible)
		verdict = VMIG_VERDICT_YES;
	else
		say_rows(w, answer);
	vmig_compat_answer_free(answer);
	return verdict;
}

static enum vmig_verdict judge_descriptors(struct vmig_worker *w)
{
	struct vmig_descriptor *theirs = NULL, *ours = NULL;
	enum vmig_verdict verdict = VMIG_VERDICT_NO;
	_autofree_ char *own = NULL;
	char why[VMIG_DRIVER_TEXT];
	struct vmig_error error;
	int r;

	if (!w->papers.descriptor)
		return VMIG_VERDICT_NONE;
	r = vmig_device_query_descriptor(w->dev, &own);
	if (r == -EOPNOTSUPP)
		return VMIG_VERDICT_NONE;
	/* One that publishes a descriptor and cannot be read is not judged by less. */
	if (r) {
		vmig_driver_words(w->dev, r, why);
		say(w, "its descriptor here cannot be had: %s", why);
		return VMIG_VERDICT_NO;
	}
	if (vmig_descriptor_parse(w->papers.descriptor, strlen(w->papers.descriptor), &theirs, &error))
		say(w, "the source's descriptor is none: %s", error.text);
	else if (vmig_descriptor_parse(own, strlen(own), &ours, &error))
		say(w, "the descriptor here is none: %s", error.text);
	else
		verdict = hold_against(w, theirs, ours);
	vmig_descriptor_free(theirs);
	vmig_descriptor_free(ours);
	return verdict;
}

void vmig_worker_judge(struct vmig_worker *w, struct vmig_core_event *end)
{
	struct vmig_device_info before, after;
	uint32_t was = VMIG_STATE_NONE, state = VMIG_STATE_NONE;
	char why[VMIG_DRIVER_TEXT];
	int r;

	w->reasons[0] = '\0';
	end->verdict = judge_descriptors(w);
	vmig_device_query_info(w->dev, &before);
	/* A driver that judges by being fed is reset for it: not where the descriptors have said no already. */
	if (w->papers.opaque &&
	    (end->verdict != VMIG_VERDICT_NO || !(before.traits & VMIG_TRAIT_MATCH_FIRST))) {
		if (vmig_device_query_state(w->dev, &was))
			was = VMIG_STATE_NONE;
		r = vmig_device_check_opaque(w->dev, w->papers.opaque, w->papers.opaque_len);
		vmig_device_query_info(w->dev, &after);
		end->resets = (uint32_t)(after.generation - before.generation);
		if (r && r != -EOPNOTSUPP) {
			vmig_driver_words(w->dev, r, why);
			say(w, "%s%s", why,
			    end->verdict == VMIG_VERDICT_YES
				    ? " (the descriptors say yes: one of them is wrong)"
				    : "");
			end->verdict = VMIG_VERDICT_NO;
		}
		/* It was fed, and its reset has failed. One that stands in STOP was not, and may stay there. */
		if (r && (before.traits & VMIG_TRAIT_MATCH_FIRST) &&
		    (vmig_device_query_state(w->dev, &state) || state != was))
			end->code = r;
	}
	end->text = w->reasons;
}
