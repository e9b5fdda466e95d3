// SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0
/*
 * vmig_sample - a mediated device that has sixteen registers and nothing else, and that migrates: STOP_COPY, P2P, PRE_COPY.
 * The tutorial docs/driver-tutorial.md makes it in steps, until `vmig check` has nothing to say against it. Here is the
 * device; how it migrates is in migration.c.
 */
#include <linux/device.h>
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "sample.h"

/* As new, wherever it was: out of ERROR and of a failed load, too. */
static void sample_reset(struct sample *sample)
{
	mutex_lock(&sample->lock);
	memset(sample->regs, 0, sizeof(sample->regs));
	sample_migration_reset(sample);
	mutex_unlock(&sample->lock);
}

static int sample_init(struct vfio_device *vdev)
{
	struct sample *sample = sample_of(vdev);

	mutex_init(&sample->lock);
	sample_migration_init(sample);
	return 0;
}

/* The next user finds a new device, whatever this one has left. */
static void sample_close(struct vfio_device *vdev)
{
	sample_reset(sample_of(vdev));
}

/* Region 0 is the registers. NULL: there are no @len bytes at @pos. */
static u8 *sample_at(struct sample *sample, loff_t pos, size_t len)
{
	if (pos < 0 || pos > sizeof(sample->regs) || len > sizeof(sample->regs) - pos)
		return NULL;
	return (u8 *)sample->regs + pos;
}

static ssize_t sample_read(struct vfio_device *vdev, char __user *buf, size_t len, loff_t *ppos)
{
	struct sample *sample = sample_of(vdev);
	u8 *at = sample_at(sample, *ppos, len);
	ssize_t ret = len;

	mutex_lock(&sample->lock);
	if (!at)
		ret = -EINVAL;
	else if (copy_to_user(buf, at, len))
		ret = -EFAULT;
	mutex_unlock(&sample->lock);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

static ssize_t sample_write(struct vfio_device *vdev, const char __user *buf, size_t len, loff_t *ppos)
{
	struct sample *sample = sample_of(vdev);
	u8 *at = sample_at(sample, *ppos, len);
	ssize_t ret = len;

	mutex_lock(&sample->lock);
	if (!at)
		ret = -EINVAL;
	else if (copy_from_user(at, buf, len))
		ret = -EFAULT;
	mutex_unlock(&sample->lock);
	if (ret > 0)
		*ppos += ret;
	return ret;
}

static long sample_get_info(void __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info = {};

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PLATFORM | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = 1;
	info.num_irqs = 0;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long sample_get_region_info(void __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info = {};

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz || info.index)
		return -EINVAL;
	info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info.size = N_REGS * sizeof(__le32);
	info.offset = 0;
	info.cap_offset = 0;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long sample_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return sample_get_info((void __user *)arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return sample_get_region_info((void __user *)arg);
	case VFIO_DEVICE_RESET:
		sample_reset(sample_of(vdev));
		return 0;
	}
	return -ENOTTY;
}

static const struct vfio_device_ops sample_ops = {
	.name = NAME,
	.init = sample_init,
	.close_device = sample_close,
	.read = sample_read,
	.write = sample_write,
	.ioctl = sample_ioctl,
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
};

/* --- a kind of mediated device --------------------------------------------------------------------------------------- */

static int sample_probe(struct mdev_device *mdev)
{
	struct sample *sample = vfio_alloc_device(sample, vdev, &mdev->dev, &sample_ops);
	int ret;

	if (IS_ERR(sample))
		return PTR_ERR(sample);
	dev_set_drvdata(&mdev->dev, sample);
	ret = vfio_register_emulated_iommu_dev(&sample->vdev);
	if (ret)
		vfio_put_device(&sample->vdev);
	return ret;
}

static void sample_remove(struct mdev_device *mdev)
{
	struct sample *sample = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&sample->vdev);
	vfio_put_device(&sample->vdev);
}

static struct mdev_driver sample_driver = {
	.device_api = VFIO_DEVICE_API_PLATFORM_STRING,
	.max_instances = 64,
	.probe = sample_probe,
	.remove = sample_remove,
	.driver = {
		.name = NAME,
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
};

static struct mdev_type sample_type = { .sysfs_name = "regs", .pretty_name = "sixteen registers" };
static struct mdev_type *sample_types[] = { &sample_type };

static struct class *sample_class;
static struct device *sample_device;
static struct mdev_parent sample_parent;

static int __init sample_module_init(void)
{
	int ret;

	sample_class = class_create(NAME);
	if (IS_ERR(sample_class))
		return PTR_ERR(sample_class);
	sample_device = device_create(sample_class, NULL, 0, NULL, NAME);
	ret = PTR_ERR_OR_ZERO(sample_device);
	if (ret)
		goto no_device;
	ret = mdev_register_driver(&sample_driver);
	if (ret)
		goto no_driver;
	ret = mdev_register_parent(&sample_parent, sample_device, &sample_driver, sample_types,
				   ARRAY_SIZE(sample_types));
	if (ret)
		goto no_parent;
	return 0;

no_parent:
	mdev_unregister_driver(&sample_driver);
no_driver:
	device_unregister(sample_device);
no_device:
	class_destroy(sample_class);
	return ret;
}

static void __exit sample_module_exit(void)
{
	mdev_unregister_parent(&sample_parent);
	mdev_unregister_driver(&sample_driver);
	device_unregister(sample_device);
	class_destroy(sample_class);
}

module_init(sample_module_init);
module_exit(sample_module_exit);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("A mediated device that migrates: the example of vmig's tutorial for driver authors");
