/* SPDX-License-Identifier: BSD-3-Clause */
/* Two threads may speak at once (both ends of a migration in one process): one lock, whole lines. */
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tool.h"

#define LINE_MAX_LEN 9000

static struct {
	pthread_mutex_t lock;
	const char *verb;
	bool json, quiet, stdout_is_taken;
	bool drawn; /* a progress line is on the terminal */
} say = { .lock = PTHREAD_MUTEX_INITIALIZER };

void tool_say_begin(const char *verb, bool json, bool quiet)
{
	say.verb = verb;
	say.json = json;
	say.quiet = quiet;
}

void tool_say_stdout_is_taken(void)
{
	say.stdout_is_taken = true;
}

bool tool_say_json(void)
{
	return say.json;
}

bool tool_say_quiet(void)
{
	return say.quiet;
}

FILE *tool_out(void)
{
	return say.stdout_is_taken ? stderr : stdout;
}

static void erase(void)
{
	if (say.drawn)
		fputs("\r\033[K", stderr);
	say.drawn = false;
}

/* One line stays one line, whatever was put into it; what a terminal would obey is shown as '?'. */
static void make_one_line(const char *text, char *to, size_t room)
{
	for (; *text && room > 2; text++) {
		if (*text == '\n' && text[1]) {
			*to++ = ';';
			*to++ = ' ';
			room -= 2;
		} else if (*text != '\n') {
			*to++ = (unsigned char)*text < ' ' || *text == 127 ? '?' : *text;
			room--;
		}
	}
	*to = '\0';
}

static void say_line(const char *what, const char *format, va_list args)
{
	char text[LINE_MAX_LEN];
	char line[LINE_MAX_LEN * 2];

	vsnprintf(text, sizeof(text), format, args);
	make_one_line(text, line, sizeof(line));
	pthread_mutex_lock(&say.lock);
	erase();
	fprintf(stderr, "vmig%s%s: %s%s\n", say.verb ? " " : "", say.verb ? say.verb : "", what, line);
	pthread_mutex_unlock(&say.lock);
}

int tool_fail(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_line("", format, args);
	va_end(args);
	return status;
}

void tool_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say_line("warning: ", format, args);
	va_end(args);
}

static int columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
		return 80;
	return size.ws_col;
}

void tool_progress(const char *line)
{
	if (say.json || say.quiet || !isatty(STDERR_FILENO))
		return;
	pthread_mutex_lock(&say.lock);
	fprintf(stderr, "\r%.*s\033[K", columns() - 1, line);
	say.drawn = true;
	pthread_mutex_unlock(&say.lock);
}

void tool_progress_end(void)
{
	pthread_mutex_lock(&say.lock);
	erase();
	pthread_mutex_unlock(&say.lock);
}
