/* SPDX-License-Identifier: BSD-3-Clause */
/* From JSON to entries and attributes. jansson finds what is no JSON; here is found what is no descriptor. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "compat/descriptor.h"

/* Where in the descriptor, for what is wrong there. */
struct place {
	const char *list;
	size_t entry; /* from 1 */
	const char *attribute;
	struct vmig_error *error;
};

__attribute__((format(printf, 3, 4))) static int bad(const struct place *at, int code, const char *format,
						     ...)
{
	char what[160];
	va_list ap;

	va_start(ap, format);
	vsnprintf(what, sizeof(what), format, ap);
	va_end(ap);
	if (at->attribute)
		return vmig_fault(at->error, code, "descriptor", "\"%s\", entry %zu, \"%.60s\": %s", at->list,
				  at->entry, at->attribute, what);
	if (at->entry)
		return vmig_fault(at->error, code, "descriptor", "\"%s\", entry %zu: %s", at->list, at->entry,
				  what);
	return vmig_fault(at->error, code, "descriptor", "\"%s\": %s", at->list, what);
}

/* --- values ------------------------------------------------------------------------------------ */

static void value_done(struct vmig_value *value)
{
	for (size_t i = 0; i < value->n_items; i++)
		free(value->items[i]);
	free(value->items);
	free(value->text);
}

static int compare_items(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names and values are shown to people, on terminals. */
static bool has_control(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f ||
		    (text[i] == '\xc2' && i + 1 < len && (unsigned char)text[i + 1] < 0xa0))
			return true;
	return false;
}

/* What is quoted in an error came from whoever wrote the descriptor, and may be cut within a character. */
static void make_plain(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static int add_item(const struct place *at, struct vmig_value *value, const char *text, size_t len)
{
	char **items;

	while (len && (*text == ' ' || *text == '\t')) {
		text++;
		len--;
	}
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
		len--;
	if (!len)
		return bad(at, -EBADMSG, "an empty value");
	if (has_control(text, len))
		return bad(at, -EBADMSG, "a control character");
	if (len > VMIG_LIMIT_DESCRIPTOR_TEXT)
		return bad(at, -E2BIG, "a value of more than %u bytes", VMIG_LIMIT_DESCRIPTOR_TEXT);
	if (value->n_items == VMIG_LIMIT_DESCRIPTOR_SET)
		return bad(at, -E2BIG, "more than %u values", VMIG_LIMIT_DESCRIPTOR_SET);
	items = reallocarray(value->items, value->n_items + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	value->items = items;
	items[value->n_items] = strndup(text, len);
	if (!items[value->n_items])
		return -ENOMEM;
	value->n_items++;
	return 0;
}

/* "none, ppgtt, context" is a set, as the discussion wrote it. */
static int add_string(const struct place *at, struct vmig_value *value, const char *text)
{
	int r = 0;

	while (!r) {
		size_t len = strcspn(text, ",");

		r = add_item(at, value, text, len);
		if (!text[len])
			break;
		text += len + 1;
	}
	return r;
}

static int add_scalar(const struct place *at, struct vmig_value *value, const json_t *json)
{
	char number[32];

	if (json_is_string(json))
		return add_string(at, value, json_string_value(json));
	if (!json_is_integer(json))
		return bad(at, -EBADMSG, "neither a string nor a whole number");
	snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(json));
	return add_item(at, value, number, strlen(number));
}

static void finish_set(struct vmig_value *value)
{
	size_t n = 0;

	qsort(value->items, value->n_items, sizeof(*value->items), compare_items);
	for (size_t i = 0; i < value->n_items; i++) {
		if (n && !strcmp(value->items[n - 1], value->items[i]))
			free(value->items[i]);
		else
			value->items[n++] = value->items[i];
	}
	value->n_items = n;
}

static char *join(char *const *items, size_t n)
{
	size_t len = 1;
	char *text, *at;

	for (size_t i = 0; i < n; i++)
		len += strlen(items[i]) + 2;
	text = at = malloc(len);
	if (!text)
		return NULL;
	*at = '\0';
	for (size_t i = 0; i < n; i++)
		at += sprintf(at, "%s%s", i ? ", " : "", items[i]);
	return text;
}

static int set_text(struct vmig_value *value)
{
	char text[80];

	if (value->kind == VMIG_VALUE_SET) {
		value->text = join(value->items, value->n_items);
		return value->text ? 0 : -ENOMEM;
	}
	if (value->kind == VMIG_VALUE_VERSION)
		snprintf(text, sizeof(text), "%llu.%llu.%llu", (unsigned long long)value->version.major,
			 (unsigned long long)value->version.minor, (unsigned long long)value->version.bugfix);
	else if (value->kind == VMIG_VALUE_ANY)
		snprintf(text, sizeof(text), "any");
	else if (value->min == INT64_MIN)
		snprintf(text, sizeof(text), "at most %lld", (long long)value->max);
	else if (value->max == INT64_MAX)
		snprintf(text, sizeof(text), "at least %lld", (long long)value->min);
	else
		snprintf(text, sizeof(text), "%lld to %lld", (long long)value->min, (long long)value->max);
	value->text = strdup(text);
	return value->text ? 0 : -ENOMEM;
}

static int set_version(const struct place *at, struct vmig_value *value, const char *text)
{
	value->kind = VMIG_VALUE_VERSION;
	if (!vmig_version_parse(text, &value->version))
		return bad(at, -EBADMSG, "\"%.40s\" is not a version x.y.z", text);
	return 0;
}

static int bound(const struct place *at, const json_t *rule, const char *key, int64_t *ret)
{
	const json_t *json = json_object_get(rule, key);

	if (!json)
		return 0;
	if (!json_is_integer(json))
		return bad(at, -EBADMSG, "\"%s\" is not a whole number", key);
	*ret = json_integer_value(json);
	return 1;
}

static int read_range(const struct place *at, const json_t *rule, struct vmig_value *value)
{
	int low, high;

	value->kind = VMIG_VALUE_RANGE;
	value->min = INT64_MIN;
	value->max = INT64_MAX;
	low = bound(at, rule, "min", &value->min);
	high = low < 0 ? low : bound(at, rule, "max", &value->max);
	if (high < 0)
		return high;
	if ((size_t)(low + high) != json_object_size(rule))
		return bad(at, -EBADMSG, "a rule has \"min\" and \"max\", or \"version\", or \"any\"");
	if (value->min > value->max)
		return bad(at, -EBADMSG, "\"min\" is above \"max\": nothing could meet it");
	return 0;
}

static int read_rule(const struct place *at, const json_t *rule, struct vmig_value *value)
{
	const json_t *version = json_object_get(rule, "version"), *any = json_object_get(rule, "any");

	if (json_object_size(rule) == 1 && json_is_string(version))
		return set_version(at, value, json_string_value(version));
	if (json_object_size(rule) == 1 && json_is_true(any)) {
		value->kind = VMIG_VALUE_ANY;
		return 0;
	}
	if (!json_object_size(rule))
		return bad(at, -EBADMSG, "an empty rule");
	return read_range(at, rule, value);
}

static int read_set(const struct place *at, const json_t *json, struct vmig_value *value)
{
	const json_t *item;
	size_t i;
	int r = 0;

	value->kind = VMIG_VALUE_SET;
	if (!json_is_array(json))
		return add_scalar(at, value, json);
	if (!json_array_size(json))
		return bad(at, -EBADMSG, "an empty set");
	json_array_foreach((json_t *)json, i, item)
	{
		r = add_scalar(at, value, item);
		if (r)
			break;
	}
	return r;
}

static int read_value(const struct place *at, const json_t *json, bool rules, struct vmig_value *value)
{
	int r;

	if (json_is_object(json) && !rules)
		r = bad(at, -EBADMSG, "a rule says what is accepted: it belongs into \"compatible\"");
	else if (json_is_object(json))
		r = read_rule(at, json, value);
	else if (!strcmp(at->attribute, "version") && json_is_string(json))
		r = set_version(at, value, json_string_value(json));
	else if (!strcmp(at->attribute, "version"))
		r = bad(at, -EBADMSG, "a version is a string \"x.y.z\"");
	else
		r = read_set(at, json, value);
	if (r)
		return r;
	/* A person reads it in the order in which it was written. */
	r = set_text(value);
	if (value->kind == VMIG_VALUE_SET)
		finish_set(value);
	return r;
}

/* --- entries ------------------------------------------------------------------------------------ */

static int compare_attributes(const void *a, const void *b)
{
	return strcmp(((const struct vmig_attribute *)a)->name, ((const struct vmig_attribute *)b)->name);
}

const struct vmig_attribute *vmig_entry_find(const struct vmig_entry *entry, const char *name)
{
	struct vmig_attribute key = { .name = (char *)name };

	if (!entry->n)
		return NULL;
	return bsearch(&key, entry->attributes, entry->n, sizeof(key), compare_attributes);
}

static int read_entry(struct place *at, json_t *json, bool rules, struct vmig_entry *entry)
{
	const char *name;
	json_t *value;
	int r = 0;

	if (!json_is_object(json))
		return bad(at, -EBADMSG, "not an object of attributes");
	if (!json_object_size(json))
		return bad(at, -EBADMSG, "no attribute");
	if (json_object_size(json) > VMIG_LIMIT_DESCRIPTOR_ATTRIBUTES)
		return bad(at, -E2BIG, "more than %u attributes", VMIG_LIMIT_DESCRIPTOR_ATTRIBUTES);
	entry->attributes = calloc(json_object_size(json), sizeof(*entry->attributes));
	if (!entry->attributes)
		return -ENOMEM;
	json_object_foreach(json, name, value)
	{
		struct vmig_attribute *attribute = &entry->attributes[entry->n++];

		at->attribute = name;
		if (has_control(name, strlen(name)))
			r = bad(at, -EBADMSG, "a control character in an attribute's name");
		else if (!*name || strlen(name) > VMIG_LIMIT_DESCRIPTOR_TEXT)
			r = bad(at, -EBADMSG, "an attribute's name has 1 to %u bytes",
				VMIG_LIMIT_DESCRIPTOR_TEXT);
		attribute->name = r ? NULL : strdup(name);
		if (!r && !attribute->name)
			r = -ENOMEM;
		if (!r)
			r = read_value(at, value, rules, &attribute->value);
		if (r)
			return r;
	}
	at->attribute = NULL;
	qsort(entry->attributes, entry->n, sizeof(*entry->attributes), compare_attributes);
	return 0;
}

static int read_entries(struct vmig_error *error, const char *list, json_t *json, bool rules,
			struct vmig_entries *ret)
{
	size_t most = rules ? VMIG_LIMIT_DESCRIPTOR_ENTRIES : VMIG_LIMIT_DESCRIPTOR_SELF;
	struct place at = { .list = list, .error = error };
	int r = 0;

	if (!json)
		return 0;
	if (!json_is_array(json))
		return bad(&at, -EBADMSG, "not an array");
	if (json_array_size(json) > most)
		return bad(&at, -E2BIG, "more than %zu entries", most);
	ret->published = true;
	ret->entries = calloc(json_array_size(json) ?: 1, sizeof(*ret->entries));
	if (!ret->entries)
		return -ENOMEM;
	while (!r && ret->n < json_array_size(json)) {
		json_t *entry = json_array_get(json, ret->n);

		at.entry = ++ret->n;
		r = read_entry(&at, entry, rules, &ret->entries[ret->n - 1]);
	}
	return r;
}

static void entries_done(struct vmig_entries *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct vmig_entry *entry = &list->entries[i];

		for (size_t j = 0; j < entry->n; j++) {
			free(entry->attributes[j].name);
			value_done(&entry->attributes[j].value);
		}
		free(entry->attributes);
	}
	free(list->entries);
}

/* --- the whole ---------------------------------------------------------------------------------- */

static int check_keys(json_t *root, struct vmig_error *error)
{
	const char *key;
	json_t *value;

	if (!json_is_object(root))
		return vmig_fault(error, -EBADMSG, "descriptor",
				  "not an object with \"self\" and \"compatible\"");
	json_object_foreach(root, key, value) if (
		strcmp(key, "self") != 0 &&
		strcmp(key, "compatible") !=
			0) return vmig_fault(error, -EBADMSG, "descriptor",
					     "unknown key \"%.60s\": there are \"self\" and \"compatible\"",
					     key);
	if (!json_array_size(json_object_get(root, "self")))
		return vmig_fault(error, -EBADMSG, "descriptor", "\"self\" has to be an array with an entry");
	return 0;
}

/* Of "self": no rules. */
static bool same_value(const struct vmig_value *a, const struct vmig_value *b)
{
	bool same = a->kind == b->kind && a->n_items == b->n_items;

	if (same && a->kind == VMIG_VALUE_VERSION)
		return !strcmp(a->text, b->text);
	for (size_t i = 0; same && i < a->n_items; i++)
		same = !strcmp(a->items[i], b->items[i]);
	return same;
}

static bool same_entry(const struct vmig_entry *a, const struct vmig_entry *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = !strcmp(a->attributes[i].name, b->attributes[i].name) &&
		       same_value(&a->attributes[i].value, &b->attributes[i].value);
	return same;
}

/* What a device is may be said in several ways, but each once. */
static int check_self(const struct vmig_entries *self, struct vmig_error *error)
{
	for (size_t i = 0; i < self->n; i++)
		for (size_t j = 0; j < i; j++)
			if (same_entry(&self->entries[i], &self->entries[j]))
				return vmig_fault(error, -EBADMSG, "descriptor",
						  "\"self\": entries %zu and %zu are one device twice", j + 1,
						  i + 1);
	return 0;
}

static int read_root(json_t *root, struct vmig_descriptor *d, struct vmig_error *error)
{
	int r = check_keys(root, error);

	if (!r)
		r = read_entries(error, "self", json_object_get(root, "self"), false, &d->self);
	if (!r)
		r = check_self(&d->self, error);
	if (!r)
		r = read_entries(error, "compatible", json_object_get(root, "compatible"), true,
				 &d->compatible);
	return r;
}

int vmig_descriptor_parse(const char *text, size_t len, struct vmig_descriptor **ret,
			  struct vmig_error *ret_error)
{
	struct vmig_error ignored, *error = ret_error ? ret_error : &ignored;
	struct vmig_descriptor *d;
	json_error_t where;
	json_t *root;
	int r;

	*error = (struct vmig_error){ .from = UINT32_MAX, .to = UINT32_MAX };
	if (len > VMIG_DESCRIPTOR_MAX)
		return vmig_fault(error, -E2BIG, "descriptor", "longer than %u bytes", VMIG_DESCRIPTOR_MAX);
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
	if (!root) {
		vmig_fault(error, -EBADMSG, "descriptor", "line %d, column %d: %s", where.line, where.column,
			   where.text);
		make_plain(error->text);
		return -EBADMSG;
	}
	d = calloc(1, sizeof(*d));
	r = d ? read_root(root, d, error) : -ENOMEM;
	json_decref(root);
	if (r == -ENOMEM)
		vmig_fault(error, r, "descriptor", "no memory");
	if (r) {
		make_plain(error->text);
		vmig_descriptor_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void vmig_descriptor_free(struct vmig_descriptor *descriptor)
{
	if (!descriptor)
		return;
	entries_done(&descriptor->self);
	entries_done(&descriptor->compatible);
	free(descriptor);
}

const char *vmig_descriptor_attribute(const struct vmig_descriptor *descriptor, const char *name)
{
	const struct vmig_attribute *found = vmig_entry_find(&descriptor->self.entries[0], name);

	return found ? found->value.text : NULL;
}
