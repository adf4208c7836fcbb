using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Devices.Tests.Sysfs;

/// <summary>The number families of sysfs.md G12.</summary>
public sealed class SysfsNumberTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("+5", 5)]
    [InlineData("5\n", 5)]
    [InlineData("0x1F", 31)]
    [InlineData("0X1f", 31)]
    [InlineData("017", 15)]
    [InlineData("00", 0)]
    [InlineData("18446744073709551615", ulong.MaxValue)]
    public void Unsigned_accepts(string text, ulong value)
    {
        Assert.Equal(Errno.Ok, SysfsNumber.ParseUnsigned(Encoding.ASCII.GetBytes(text), out ulong parsed));
        Assert.Equal(value, parsed);
    }

    [Theory]
    [InlineData("", Errno.EINVAL)]
    [InlineData("\n", Errno.EINVAL)]
    [InlineData("-1", Errno.EINVAL)]
    [InlineData(" 5", Errno.EINVAL)]
    [InlineData("5 ", Errno.EINVAL)]
    [InlineData("5\n\n", Errno.EINVAL)]
    [InlineData("08", Errno.EINVAL)]
    [InlineData("0x", Errno.EINVAL)]
    [InlineData("++5", Errno.EINVAL)]
    [InlineData("5x", Errno.EINVAL)]
    [InlineData("18446744073709551616", Errno.ERANGE)]
    [InlineData("0x10000000000000000", Errno.ERANGE)]
    public void Unsigned_refuses(string text, Errno error) =>
        Assert.Equal(error, SysfsNumber.ParseUnsigned(Encoding.ASCII.GetBytes(text), out _));

    [Theory]
    [InlineData("1", 1)]
    [InlineData(" \t7", 7)]
    [InlineData("-3", -3)]
    [InlineData("1abc", 1)]
    [InlineData("0x10", 0)]
    public void Decimal_scan_ignores_the_rest(string text, int value)
    {
        Assert.Equal(Errno.Ok, SysfsNumber.ScanDecimal(Encoding.ASCII.GetBytes(text), out int parsed));
        Assert.Equal(value, parsed);
    }

    [Theory]
    [InlineData("71", 71)]
    [InlineData("0x47", 71)]
    [InlineData("0107", 71)]
    public void Integer_scan_knows_the_radix(string text, int value)
    {
        Assert.Equal(Errno.Ok, SysfsNumber.ScanInteger(Encoding.ASCII.GetBytes(text), out int parsed));
        Assert.Equal(value, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("-")]
    public void Scans_refuse(string text) => Assert.Equal(Errno.EINVAL, SysfsNumber.ScanDecimal(Encoding.ASCII.GetBytes(text), out _));

    [Theory]
    [InlineData("y", true)]
    [InlineData("T", true)]
    [InlineData("1xyz", true)]
    [InlineData("on", true)]
    [InlineData("ON", true)]
    [InlineData("n", false)]
    [InlineData("0", false)]
    [InlineData("off", false)]
    public void Boolean_accepts(string text, bool value)
    {
        Assert.Equal(Errno.Ok, SysfsNumber.ParseBoolean(Encoding.ASCII.GetBytes(text), out bool parsed));
        Assert.Equal(value, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("2")]
    [InlineData("o")]
    [InlineData("ox")]
    public void Boolean_refuses(string text) => Assert.Equal(Errno.EINVAL, SysfsNumber.ParseBoolean(Encoding.ASCII.GetBytes(text), out _));
}
