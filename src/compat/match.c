/* SPDX-License-Identifier: BSD-3-Clause */
/* One device against a list, attribute by attribute; who is asked; and how candidates rank. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "compat/descriptor.h"

struct matching {
	const struct vmig_compat_options *options;
	bool targets; /* the list names readers of the state, not writers */
	struct vmig_compat_row *rows;
	size_t n_rows, n_bad;
	struct vmig_error *error;
};

static const struct vmig_compat_options defaults;

/* --- rows --------------------------------------------------------------------------------------- */

static void rows_free(struct vmig_compat_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(rows[i].attribute);
		free(rows[i].has);
		free(rows[i].accepted);
		free(rows[i].reason);
	}
	free(rows);
}

static bool ignored(const struct matching *m, const char *name)
{
	for (size_t i = 0; i < m->options->n_ignore; i++)
		if (!strcmp(m->options->ignore[i], name))
			return true;
	return false;
}

/** Every string that is not NULL must have been made. */
static int keep_row(struct matching *m, const struct vmig_compat_row *row, bool whole)
{
	if (!whole) {
		free(row->attribute);
		free(row->has);
		free(row->accepted);
		free(row->reason);
		return -ENOMEM;
	}
	m->rows[m->n_rows++] = *row;
	m->n_bad += row->verdict != VMIG_COMPAT_OK && row->verdict != VMIG_COMPAT_IGNORED;
	return 0;
}

__attribute__((format(printf, 6, 7))) static int
add_row(struct matching *m, const char *name, const struct vmig_value *has, const struct vmig_value *accepted,
	enum vmig_compat_verdict verdict, const char *format, ...)
{
	struct vmig_compat_row row = { .verdict = verdict };
	va_list ap;
	bool whole;

	if (verdict != VMIG_COMPAT_OK && ignored(m, name))
		row.verdict = VMIG_COMPAT_IGNORED;
	va_start(ap, format);
	if (vasprintf(&row.reason, format, ap) < 0)
		row.reason = NULL;
	va_end(ap);
	row.attribute = strdup(name);
	row.has = has ? strdup(has->text) : NULL;
	row.accepted = accepted ? strdup(accepted->text) : NULL;
	whole = row.reason && row.attribute && (!has || row.has) && (!accepted || row.accepted);
	return keep_row(m, &row, whole);
}

/* --- values ------------------------------------------------------------------------------------- */

static int cannot_compare(struct matching *m, const char *name, const struct vmig_value *has,
			  const struct vmig_value *accepted, const char *what)
{
	if (ignored(m, name))
		return add_row(m, name, has, accepted, VMIG_COMPAT_DIFFERS, "cannot be compared");
	return vmig_fault(m->error, -EDOM, "compat",
			  "\"%.60s\": \"%.60s\" is held against \"%.60s\", but is no %s", name, has->text,
			  accepted->text, what);
}

static bool contains(const struct vmig_value *set, const char *item)
{
	for (size_t i = 0; i < set->n_items; i++)
		if (!strcmp(set->items[i], item))
			return true;
	return false;
}

static int match_set(struct matching *m, const char *name, const struct vmig_value *has,
		     const struct vmig_value *accepted)
{
	for (size_t i = 0; i < has->n_items; i++)
		if (!contains(accepted, has->items[i]))
			return add_row(m, name, has, accepted, VMIG_COMPAT_DIFFERS,
				       accepted->n_items > 1 ? "%s is not one of those accepted"
							     : "%s is not what is accepted",
				       has->items[i]);
	return add_row(m, name, has, accepted, VMIG_COMPAT_OK, "%s",
		       accepted->n_items > 1 ? "all of it is accepted" : "the same");
}

static int match_range(struct matching *m, const char *name, const struct vmig_value *has,
		       const struct vmig_value *accepted)
{
	int64_t number;

	if (has->kind != VMIG_VALUE_SET)
		return cannot_compare(m, name, has, accepted, "number");
	for (size_t i = 0; i < has->n_items; i++) {
		if (!vmig_number_parse(has->items[i], &number))
			return cannot_compare(m, name, has, accepted, "number");
		if (number < accepted->min || number > accepted->max)
			return add_row(m, name, has, accepted, VMIG_COMPAT_DIFFERS,
				       "%lld is out of the range", (long long)number);
	}
	return add_row(m, name, has, accepted, VMIG_COMPAT_OK, "within the range");
}

static int match_version(struct matching *m, const char *name, const struct vmig_value *has,
			 const struct vmig_value *accepted)
{
	const struct vmig_version *listed = &accepted->version, *writer, *reader;
	struct vmig_version theirs = has->version;

	if (has->kind == VMIG_VALUE_SET && (has->n_items != 1 || !vmig_version_parse(has->items[0], &theirs)))
		return cannot_compare(m, name, has, accepted, "version x.y.z");
	writer = m->targets ? listed : &theirs;
	reader = m->targets ? &theirs : listed;
	if (writer->major != reader->major)
		return add_row(m, name, has, accepted, VMIG_COMPAT_DIFFERS,
			       "another major version: there is no compatibility across");
	if (writer->minor > reader->minor)
		return add_row(m, name, has, accepted, VMIG_COMPAT_DIFFERS, "%s",
			       m->targets ? "an older minor version: it cannot know the newer one"
					  : "a newer minor version: an older one cannot know it");
	if (writer->minor == reader->minor)
		return add_row(m, name, has, accepted, VMIG_COMPAT_OK, "the same major and minor version");
	return add_row(m, name, has, accepted, VMIG_COMPAT_OK, "%s",
		       m->targets ? "a newer minor version, which accepts an older one"
				  : "an older minor version, which a newer one accepts");
}

static int match_value(struct matching *m, const char *name, const struct vmig_value *has,
		       const struct vmig_value *accepted)
{
	switch (accepted->kind) {
	case VMIG_VALUE_ANY:
		return add_row(m, name, has, accepted, VMIG_COMPAT_OK, "anything is accepted");
	case VMIG_VALUE_RANGE:
		return match_range(m, name, has, accepted);
	case VMIG_VALUE_VERSION:
		return match_version(m, name, has, accepted);
	case VMIG_VALUE_SET:
		if (has->kind == VMIG_VALUE_VERSION)
			return cannot_compare(m, name, accepted, has, "version x.y.z");
		return match_set(m, name, has, accepted);
	}
	return -EINVAL;
}

/* --- entries ------------------------------------------------------------------------------------ */

/** Both are sorted: one pass meets every attribute of either. */
static int match_entry(struct matching *m, const struct vmig_entry *self, const struct vmig_entry *accepted)
{
	size_t i = 0, j = 0;
	int r = 0;

	m->rows = calloc(self->n + accepted->n, sizeof(*m->rows));
	if (!m->rows)
		return -ENOMEM;
	while (!r && (i < self->n || j < accepted->n)) {
		const struct vmig_attribute *has = i < self->n ? &self->attributes[i] : NULL;
		const struct vmig_attribute *want = j < accepted->n ? &accepted->attributes[j] : NULL;
		int order = !has ? 1 : !want ? -1 : strcmp(has->name, want->name);

		if (!order)
			r = match_value(m, has->name, &has->value, &want->value);
		else if (order < 0)
			r = add_row(m, has->name, &has->value, NULL, VMIG_COMPAT_UNKNOWN,
				    "what accepts does not know this attribute");
		else
			r = add_row(m, want->name, NULL, &want->value, VMIG_COMPAT_MISSING,
				    "it is demanded, and the device does not have it");
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

/** Keep the better one of *@best and @m in *@best, whose entry becomes *@ret_entry. */
static bool keep_better(struct matching *best, struct matching *m, bool first)
{
	struct matching drop = *m;
	bool better = first || m->n_bad < best->n_bad;

	if (better) {
		drop = *best;
		*best = *m;
		best->error = drop.error;
	}
	rows_free(drop.rows, drop.n_rows);
	return better;
}

/*
 * A device may be several things at once ("self" with several entries): one that is accepted is enough. What cannot be
 * compared with one entry may be meant for another: it is an error only where none accepts, in whatever order they stand.
 */
static int match_list(struct matching *best, const struct vmig_entries *self, const struct vmig_entries *list,
		      uint32_t *ret_entry)
{
	struct vmig_error first_error = { 0 };
	bool first = true;
	int failed = 0;

	*ret_entry = 0;
	for (size_t i = 0; i < list->n && (first || best->n_bad); i++) {
		for (size_t j = 0; j < self->n && (first || best->n_bad); j++) {
			struct matching m = { .options = best->options,
					      .targets = best->targets,
					      .error = failed ? best->error : &first_error };
			int r = match_entry(&m, &self->entries[j], &list->entries[i]);

			if (r) {
				rows_free(m.rows, m.n_rows);
				if (r != -EDOM)
					return r;
				failed = r;
				continue;
			}
			if (keep_better(best, &m, first))
				*ret_entry = (uint32_t)i + 1;
			first = false;
		}
	}
	if (!failed || (!first && !best->n_bad)) {
		*best->error = (struct vmig_error){ .from = UINT32_MAX, .to = UINT32_MAX };
		return 0;
	}
	*best->error = first_error;
	return failed;
}

/* --- who is asked ------------------------------------------------------------------------------- */

static uint64_t rank_of(const struct vmig_descriptor *source, const struct vmig_descriptor *destination)
{
	const struct vmig_attribute *s = vmig_entry_find(&source->self.entries[0], "version");
	const struct vmig_attribute *d = vmig_entry_find(&destination->self.entries[0], "version");
	uint64_t apart;

	if (!s || !d || s->value.kind != VMIG_VALUE_VERSION || d->value.kind != VMIG_VALUE_VERSION ||
	    s->value.version.major != d->value.version.major)
		return 0;
	apart = s->value.version.minor > d->value.version.minor
			? s->value.version.minor - d->value.version.minor
			: d->value.version.minor - s->value.version.minor;
	return (UINT32_MAX - apart) << 32 | d->value.version.bugfix;
}

static const char *name_of(enum vmig_compat_side side)
{
	return side == VMIG_COMPAT_DESTINATION ? "the destination's list"
	       : side == VMIG_COMPAT_SOURCE    ? "the source's list of targets"
					       : "the destination's own attributes";
}

static char *say(const struct vmig_compat_answer *answer, enum vmig_compat_side side, bool published)
{
	const char *which = name_of(side);
	const struct vmig_compat_row *bad = NULL;
	char *text;
	int n;

	for (size_t i = 0; i < answer->n_rows && !bad; i++)
		if (answer->rows[i].verdict != VMIG_COMPAT_OK &&
		    answer->rows[i].verdict != VMIG_COMPAT_IGNORED)
			bad = &answer->rows[i];
	if (answer->compatible)
		n = asprintf(&text, "%s %s", which,
			     side == VMIG_COMPAT_NEITHER ? "are the same (no side publishes a list)"
							 : "accepts it");
	else if (!answer->entry)
		n = asprintf(&text, "%s %s", which,
			     published ? "is empty: it accepts nothing" : "is not published");
	else
		n = asprintf(&text, "%s: %s: %s (has %s, accepted is %s)", which, bad->attribute, bad->reason,
			     bad->has ? bad->has : "nothing", bad->accepted ? bad->accepted : "nothing");
	return n < 0 ? NULL : text;
}

/** Hold @device against a list of the other side's. */
static int ask(const struct vmig_descriptor *device, const struct vmig_entries *list,
	       enum vmig_compat_side side, const struct vmig_compat_options *options,
	       struct vmig_compat_answer *answer, struct vmig_error *error)
{
	struct matching best = { .options = options,
				 .targets = side == VMIG_COMPAT_SOURCE && !options->symmetric,
				 .error = error };
	int r = match_list(&best, &device->self, list, &answer->entry);

	answer->rows = best.rows;
	answer->n_rows = best.n_rows;
	answer->n_entries = (uint32_t)list->n;
	answer->decided = side;
	answer->compatible = !r && answer->entry && !best.n_bad;
	if (r)
		return r;
	answer->reason = say(answer, side, list->published);
	return answer->reason ? 0 : -ENOMEM;
}

static int ask_one(const struct vmig_descriptor *source, const struct vmig_descriptor *destination,
		   const struct vmig_compat_options *options, struct vmig_compat_answer *answer,
		   struct vmig_error *error)
{
	if (destination->compatible.published)
		return ask(source, &destination->compatible, VMIG_COMPAT_DESTINATION, options, answer, error);
	if (source->compatible.published)
		return ask(destination, &source->compatible, VMIG_COMPAT_SOURCE, options, answer, error);
	return ask(source, &destination->self, VMIG_COMPAT_NEITHER, options, answer, error);
}

/* Both have to publish a list, and both lists to accept. */
static int ask_both(const struct vmig_descriptor *source, const struct vmig_descriptor *destination,
		    const struct vmig_compat_options *options, struct vmig_compat_answer *answer,
		    struct vmig_error *error)
{
	struct vmig_compat_answer other = { 0 };
	int r = ask(source, &destination->compatible, VMIG_COMPAT_DESTINATION, options, answer, error);

	if (!r && answer->compatible) {
		r = ask(destination, &source->compatible, VMIG_COMPAT_SOURCE, options, &other, error);
		if (!r && !other.compatible) {
			struct vmig_compat_answer t = *answer;

			*answer = other;
			other = t;
		} else if (!r) {
			free(answer->reason);
			answer->reason = strdup("both lists accept");
			r = answer->reason ? 0 : -ENOMEM;
		}
	}
	rows_free(other.rows, other.n_rows);
	free(other.reason);
	answer->decided = VMIG_COMPAT_BOTH;
	return r;
}

int vmig_compat_check(const struct vmig_descriptor *source, const struct vmig_descriptor *destination,
		      const struct vmig_compat_options *options, struct vmig_compat_answer **ret,
		      struct vmig_error *ret_error)
{
	struct vmig_compat_answer *answer = calloc(1, sizeof(*answer));
	struct vmig_error ignored_error;
	int r;

	if (!ret_error)
		ret_error = &ignored_error;
	*ret_error = (struct vmig_error){ .from = UINT32_MAX, .to = UINT32_MAX };
	if (!options)
		options = &defaults;
	if (!answer)
		return vmig_fault(ret_error, -ENOMEM, "compat", "no memory");
	r = options->symmetric ? ask_both(source, destination, options, answer, ret_error)
			       : ask_one(source, destination, options, answer, ret_error);
	if (r) {
		vmig_compat_answer_free(answer);
		return r == -ENOMEM ? vmig_fault(ret_error, r, "compat", "no memory") : r;
	}
	answer->rank = rank_of(source, destination);
	*ret = answer;
	return 0;
}

void vmig_compat_answer_free(struct vmig_compat_answer *answer)
{
	if (!answer)
		return;
	rows_free(answer->rows, answer->n_rows);
	free(answer->reason);
	free(answer);
}
