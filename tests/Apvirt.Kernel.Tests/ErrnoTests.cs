namespace Apvirt.Kernel.Tests;

/// <summary>Numbers are Linux's, texts are glibc's in the C locale.</summary>
public sealed class ErrnoTests
{
    public static TheoryData<Errno, int, string> Table { get; } = new()
    {
        { Errno.Ok, 0, "Success" },
        { Errno.EPERM, 1, "Operation not permitted" },
        { Errno.ENOENT, 2, "No such file or directory" },
        { Errno.ESRCH, 3, "No such process" },
        { Errno.EINTR, 4, "Interrupted system call" },
        { Errno.EIO, 5, "Input/output error" },
        { Errno.ENXIO, 6, "No such device or address" },
        { Errno.E2BIG, 7, "Argument list too long" },
        { Errno.EBADF, 9, "Bad file descriptor" },
        { Errno.EAGAIN, 11, "Resource temporarily unavailable" },
        { Errno.ENOMEM, 12, "Cannot allocate memory" },
        { Errno.EACCES, 13, "Permission denied" },
        { Errno.EFAULT, 14, "Bad address" },
        { Errno.EBUSY, 16, "Device or resource busy" },
        { Errno.EEXIST, 17, "File exists" },
        { Errno.ENODEV, 19, "No such device" },
        { Errno.ENOTDIR, 20, "Not a directory" },
        { Errno.EISDIR, 21, "Is a directory" },
        { Errno.EINVAL, 22, "Invalid argument" },
        { Errno.ENOTTY, 25, "Inappropriate ioctl for device" },
        { Errno.ENOSPC, 28, "No space left on device" },
        { Errno.ERANGE, 34, "Numerical result out of range" },
        { Errno.ENAMETOOLONG, 36, "File name too long" },
        { Errno.ELOOP, 40, "Too many levels of symbolic links" },
        { Errno.EBADFD, 77, "File descriptor in bad state" },
        { Errno.EUSERS, 87, "Too many users" },
        { Errno.EOPNOTSUPP, 95, "Operation not supported" },
        { Errno.EADDRINUSE, 98, "Address already in use" },
        { Errno.EADDRNOTAVAIL, 99, "Cannot assign requested address" },
        { Errno.ESTALE, 116, "Stale file handle" },
    };

    [Theory]
    [MemberData(nameof(Table))]
    public void NumberAndTextAreThoseOfUserSpace(Errno errno, int number, string text)
    {
        Assert.Equal(number, (int)errno);
        Assert.Equal(text, errno.Describe());
    }

    [Fact]
    public void TheTableNamesEveryError() => Assert.Equal(Enum.GetValues<Errno>().Length, Table.Count);
}
