// SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0
/*
 * How vmig_sample migrates: the stream, the data transfer session, the arcs.
 *
 * A driver of hardware has more in sample_step() (stop the queues, stop the DMA to other devices, ask the firmware for the
 * state); the rest is much like this.
 */
#include <linux/anon_inodes.h>
#include <linux/crc32.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "sample.h"

/* --- the stream ------------------------------------------------------------------------------------------------------ */

#define MAGIC   0x67696d76 /* "vmig" */
#define VERSION 1

/* Little-endian, whatever the host. The head is known before the device stops, and says whether the rest can be loaded. */
struct sample_stream {
	__le32 magic;
	__le32 version;
	__le32 n_regs;
	__le32 reserved;
	__le32 regs[N_REGS];
	__le32 crc; /* of all before it */
};

#define HEAD_LEN offsetof(struct sample_stream, regs)

static void stream_fill_head(struct sample_stream *stream)
{
	stream->magic = cpu_to_le32(MAGIC);
	stream->version = cpu_to_le32(VERSION);
	stream->n_regs = cpu_to_le32(N_REGS);
}

static bool stream_has_good_head(const struct sample_stream *stream)
{
	return le32_to_cpu(stream->magic) == MAGIC && le32_to_cpu(stream->version) == VERSION &&
	       le32_to_cpu(stream->n_regs) == N_REGS && !stream->reserved;
}

static __le32 stream_crc(const struct sample_stream *stream)
{
	return cpu_to_le32(crc32_le(~0, (const u8 *)stream, offsetof(struct sample_stream, crc)));
}

/* --- a data transfer session ----------------------------------------------------------------------------------------- */

enum session_phase {
	IN_PRE_COPY,
	IN_STOP_COPY,
	IN_RESUMING,
	ENDED,
};

/*
 * What data_fd is. It belongs to its file, which may outlive the state, the device and the user: so it knows nothing of
 * the device, which tells it what phase it is in.
 */
struct sample_session {
	struct file *filp;
	wait_queue_head_t changed; /* there may be more to read */
	struct mutex lock;         /* of all below */
	enum session_phase phase;
	struct sample_stream stream;
	size_t len; /* of the stream: what can be read by now, or what was written */
	size_t pos; /* of the next byte to read */
	bool bad;   /* what was written is no stream of ours */
};

static ssize_t session_read(struct file *filp, char __user *buf, size_t len, loff_t *pos)
{
	struct sample_session *session = filp->private_data;
	ssize_t ret;

	mutex_lock(&session->lock);
	len = min(len, session->len - session->pos);
	if (session->phase == ENDED)
		ret = -ENODEV;
	else if (session->pos == session->len)
		/* 0 is the end of the stream, which there is none of before STOP_COPY. */
		ret = session->phase == IN_PRE_COPY ? -ENOMSG : 0;
	else if (copy_to_user(buf, (u8 *)&session->stream + session->pos, len))
		ret = -EFAULT;
	else
		ret = len;
	if (ret > 0)
		session->pos += ret;
	mutex_unlock(&session->lock);
	return ret;
}

static ssize_t session_write(struct file *filp, const char __user *buf, size_t len, loff_t *pos)
{
	struct sample_session *session = filp->private_data;
	ssize_t ret = len;

	mutex_lock(&session->lock);
	if (session->phase != IN_RESUMING) {
		ret = -ENODEV;
	} else if (session->bad || len > sizeof(session->stream) - session->len) {
		session->bad = true;
		ret = -EINVAL;
	} else if (copy_from_user((u8 *)&session->stream + session->len, buf, len)) {
		ret = -EFAULT;
	} else {
		session->len += len;
		/* As early as can be: a user who is told now need not stop the source. */
		if (session->len >= HEAD_LEN && !stream_has_good_head(&session->stream)) {
			session->bad = true;
			ret = -EINVAL;
		}
	}
	mutex_unlock(&session->lock);
	return ret;
}

static long session_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	const size_t minsz = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct sample_session *session = filp->private_data;
	struct vfio_precopy_info info = {};
	int ret = 0;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	if (copy_from_user(&info, (void __user *)arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	mutex_lock(&session->lock);
	if (session->phase != IN_PRE_COPY)
		ret = -EINVAL;
	/* Each field is ours to set: what the caller had in them must not come back. */
	info.flags = 0;
	info.initial_bytes = session->len - session->pos;
	info.dirty_bytes = 0;
	mutex_unlock(&session->lock);
	if (!ret && copy_to_user((void __user *)arg, &info, minsz))
		ret = -EFAULT;
	return ret;
}

/* So that a user can wait where read() says ENOMSG. The end of the stream and an error are to be read, too. */
static __poll_t session_poll(struct file *filp, struct poll_table_struct *wait)
{
	struct sample_session *session = filp->private_data;
	__poll_t ready = 0;

	poll_wait(filp, &session->changed, wait);
	mutex_lock(&session->lock);
	if (session->phase != IN_PRE_COPY || session->pos < session->len)
		ready = session->phase == IN_RESUMING ? EPOLLOUT | EPOLLWRNORM : EPOLLIN | EPOLLRDNORM;
	mutex_unlock(&session->lock);
	return ready;
}

static int session_release(struct inode *inode, struct file *filp)
{
	kfree(filp->private_data);
	return 0;
}

static const struct file_operations session_fops = {
	.owner = THIS_MODULE,
	.read = session_read,
	.write = session_write,
	.poll = session_poll,
	.unlocked_ioctl = session_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = session_release,
};

static struct sample_session *session_new(enum session_phase phase)
{
	struct sample_session *session = kzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);

	if (!session)
		return ERR_PTR(-ENOMEM);
	session->filp =
		anon_inode_getfile(NAME, &session_fops, session, phase == IN_RESUMING ? O_WRONLY : O_RDONLY);
	if (IS_ERR(session->filp)) {
		struct file *error = session->filp;

		kfree(session);
		return ERR_CAST(error);
	}
	stream_open(session->filp->f_inode, session->filp); /* no offset, no seek */
	init_waitqueue_head(&session->changed);
	mutex_init(&session->lock);
	session->phase = phase;
	if (phase != IN_RESUMING) {
		stream_fill_head(&session->stream);
		session->len = HEAD_LEN;
	}
	return session;
}

/* --- the device and its states --------------------------------------------------------------------------------------- */

/* The file is the user's, who may keep it for as long as he likes: it says ENODEV from now on. */
static void sample_end_session(struct sample *sample)
{
	struct sample_session *session = sample->session;

	if (!session)
		return;
	mutex_lock(&session->lock);
	session->phase = ENDED;
	mutex_unlock(&session->lock);
	wake_up_poll(&session->changed, EPOLLIN | EPOLLRDNORM);
	fput(session->filp);
	sample->session = NULL;
}

/* What only a stopped device can give: the rest of the stream. */
static void sample_save(struct sample *sample)
{
	struct sample_session *session = sample->session;

	mutex_lock(&session->lock);
	session->phase = IN_STOP_COPY;
	memcpy(session->stream.regs, sample->regs, sizeof(sample->regs));
	session->stream.crc = stream_crc(&session->stream);
	session->len = sizeof(session->stream);
	mutex_unlock(&session->lock);
	wake_up_poll(&session->changed, EPOLLIN | EPOLLRDNORM);
}

/* All or nothing: the registers change only when everything is known to be right. */
static int sample_load(struct sample *sample)
{
	struct sample_session *session = sample->session;
	int ret = 0;

	mutex_lock(&session->lock);
	if (session->bad || session->len != sizeof(session->stream) ||
	    session->stream.crc != stream_crc(&session->stream))
		ret = -EINVAL;
	else
		memcpy(sample->regs, session->stream.regs, sizeof(sample->regs));
	mutex_unlock(&session->lock);
	return ret;
}

/* Returns the file that becomes data_fd, with a reference for the user and one for us. */
static struct file *sample_start_session(struct sample *sample, enum session_phase phase)
{
	struct sample_session *session = session_new(phase);

	if (IS_ERR(session))
		return ERR_CAST(session);
	sample->session = session;
	if (phase == IN_STOP_COPY)
		sample_save(sample);
	return get_file(session->filp);
}

#define ARC(from, to) (VFIO_DEVICE_STATE_##from << 4 | VFIO_DEVICE_STATE_##to)

/* One arc, as vfio_mig_get_next_state() lists them. NULL: done, and there is no new session. */
static struct file *sample_step(struct sample *sample, enum vfio_device_mig_state next)
{
	int ret;

	switch (sample->state << 4 | next) {
	case ARC(RUNNING, RUNNING_P2P): /* stop all DMA to other devices, and wait for its end */
	case ARC(RUNNING_P2P, STOP):    /* stop everything */
	case ARC(STOP, RUNNING_P2P):
	case ARC(RUNNING_P2P, RUNNING):
	case ARC(PRE_COPY, PRE_COPY_P2P):
	case ARC(PRE_COPY_P2P, PRE_COPY):
		return NULL;
	case ARC(RUNNING, PRE_COPY):
	case ARC(RUNNING_P2P, PRE_COPY_P2P):
		return sample_start_session(sample, IN_PRE_COPY);
	case ARC(STOP, STOP_COPY):
		return sample_start_session(sample, IN_STOP_COPY);
	case ARC(PRE_COPY_P2P, STOP_COPY): /* the session carries on */
		sample_save(sample);
		return NULL;
	case ARC(PRE_COPY, RUNNING):
	case ARC(PRE_COPY_P2P, RUNNING_P2P):
	case ARC(STOP_COPY, STOP):
		sample_end_session(sample);
		return NULL;
	case ARC(STOP, RESUMING):
		return sample_start_session(sample, IN_RESUMING);
	case ARC(RESUMING, STOP):
		ret = sample_load(sample);
		if (ret)
			return ERR_PTR(ret); /* still in RESUMING: only a reset leads out */
		sample_end_session(sample);
		return NULL;
	}
	return ERR_PTR(-EINVAL);
}

static struct file *sample_set_state(struct vfio_device *vdev, enum vfio_device_mig_state new_state)
{
	struct sample *sample = sample_of(vdev);
	enum vfio_device_mig_state next;
	struct file *filp = NULL;

	mutex_lock(&sample->lock);
	while (sample->state != new_state) {
		int ret = vfio_mig_get_next_state(vdev, sample->state, new_state, &next);

		filp = ret ? ERR_PTR(ret) : sample_step(sample, next);
		if (IS_ERR(filp))
			break;
		sample->state = next;
	}
	mutex_unlock(&sample->lock);
	return filp;
}

static int sample_get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct sample *sample = sample_of(vdev);

	mutex_lock(&sample->lock);
	*state = sample->state;
	mutex_unlock(&sample->lock);
	return 0;
}

static int sample_get_data_size(struct vfio_device *vdev, unsigned long *stop_copy_length)
{
	*stop_copy_length = sizeof(struct sample_stream);
	return 0;
}

static const struct vfio_migration_ops sample_migration_ops = {
	.migration_set_state = sample_set_state,
	.migration_get_state = sample_get_state,
	.migration_get_data_size = sample_get_data_size,
};

void sample_migration_init(struct sample *sample)
{
	sample->state = VFIO_DEVICE_STATE_RUNNING;
	sample->vdev.migration_flags =
		VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
	sample->vdev.mig_ops = &sample_migration_ops;
}

void sample_migration_reset(struct sample *sample)
{
	sample_end_session(sample);
	sample->state = VFIO_DEVICE_STATE_RUNNING;
}
