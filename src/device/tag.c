/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whose state a model holds. The tag lives as long as the model does, whatever its users do; only what overwrites the
 * state takes the identity away.
 */
#include "base/log.h"
#include "device/core.h"

void vmig_model_tag_init(struct vmig_model *model)
{
	pthread_mutex_init(&model->tag_lock, NULL);
	vmig_uuid_new(&model->tag.instance);
}

int vmig_model_query_tag(void *p, struct vmig_tag *ret, struct vmig_error *error)
{
	struct vmig_model *model = p;

	pthread_mutex_lock(&model->tag_lock);
	*ret = model->tag;
	pthread_mutex_unlock(&model->tag_lock);
	return 0;
}

/* With model->lock. */
static void write_tag(struct vmig_model *model, struct vmig_uuid identity, struct vmig_uuid attempt)
{
	char a[VMIG_UUID_TEXT_MAX], b[VMIG_UUID_TEXT_MAX];

	pthread_mutex_lock(&model->tag_lock);
	model->tag.identity = identity;
	model->tag.attempt = attempt;
	pthread_mutex_unlock(&model->tag_lock);
	vmig_log(VMIG_LOG_DEBUG, "tag: identity %s, attempt %s", vmig_uuid_text(&identity, a),
		 vmig_uuid_text(&attempt, b));
}

int vmig_model_set_tag(void *p, const struct vmig_tag *tag, struct vmig_error *error)
{
	struct vmig_model *model = p;

	vmig_model_lock(model);
	write_tag(model, tag->identity, tag->attempt);
	vmig_model_unlock(model);
	return 0;
}

void vmig_model_tag_loading(struct vmig_model *model)
{
	if (!vmig_uuid_is_none(&model->tag.identity))
		write_tag(model, (struct vmig_uuid){ 0 }, model->tag.attempt);
}

void vmig_model_tag_restore(struct vmig_model *model, const struct vmig_tag *tag)
{
	if (!vmig_uuid_equal(&model->tag.identity, &tag->identity))
		write_tag(model, tag->identity, tag->attempt);
}

void vmig_model_tag_blank(struct vmig_model *model)
{
	write_tag(model, (struct vmig_uuid){ 0 }, (struct vmig_uuid){ 0 });
}
