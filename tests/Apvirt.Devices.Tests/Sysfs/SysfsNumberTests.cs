using System.Text;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Devices.Tests.Sysfs;

/// <summary>The families of sysfs.md G12, with the observed cases of QUIRKS.md 2.</summary>
public sealed class SysfsNumberTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("5", 5)]
    [InlineData("5\n", 5)]
    [InlineData("+5", 5)]
    [InlineData("+5\n", 5)]
    [InlineData("0x1f", 31)]
    [InlineData("0X1F", 31)]
    [InlineData("0xFf\n", 255)]
    [InlineData("+0x10", 16)]
    [InlineData("010", 8)]
    [InlineData("+017\n", 15)]
    [InlineData("00", 0)]
    [InlineData("256", 256)]
    [InlineData("18446744073709551615", ulong.MaxValue)]
    [InlineData("0xffffffffffffffff\n", ulong.MaxValue)]
    [InlineData("01777777777777777777777", ulong.MaxValue)]
    public void KernelNumbersAreReadInTheRadixOfTheirPrefix(string text, ulong number)
    {
        Assert.Equal(Errno.Ok, SysfsNumber.ParseUnsigned(Encoding.ASCII.GetBytes(text), out ulong value));
        Assert.Equal(number, value);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n")]
    [InlineData("+")]
    [InlineData("+\n")]
    [InlineData("-1")]
    [InlineData("-0")]
    [InlineData("++1")]
    [InlineData("+-1")]
    [InlineData(" 1")]
    [InlineData("1 ")]
    [InlineData("\t1")]
    [InlineData("1\n\n")]
    [InlineData("1\r\n")]
    [InlineData("\n1")]
    [InlineData("08")]
    [InlineData("0x")]
    [InlineData("0x\n")]
    [InlineData("0xg")]
    [InlineData("x1")]
    [InlineData("1abc")]
    [InlineData("abc")]
    [InlineData("1,2")]
    public void AnythingElseIsNoKernelNumber(string text) =>
        Assert.Equal(Errno.EINVAL, SysfsNumber.ParseUnsigned(Encoding.ASCII.GetBytes(text), out _));

    [Theory]
    [InlineData("18446744073709551616")]
    [InlineData("18446744073709551616\n")]
    [InlineData("+99999999999999999999999999")]
    [InlineData("0x10000000000000000")]
    [InlineData("02000000000000000000000")]
    public void AKernelNumberAboveSixtyFourBitsIsOutOfRange(string text) =>
        Assert.Equal(Errno.ERANGE, SysfsNumber.ParseUnsigned(Encoding.ASCII.GetBytes(text), out _));

    [Theory]
    [InlineData("0", 0)]
    [InlineData("30\n", 30)]
    [InlineData(" 1", 1)]
    [InlineData("\t\n 7", 7)]
    [InlineData("1abc", 1)]
    [InlineData("1 2", 1)]
    [InlineData("-3", -3)]
    [InlineData("+4", 4)]
    [InlineData("007", 7)]
    [InlineData("010", 10)]
    [InlineData("0x10", 0)]
    public void ScannedDecimalsIgnoreTheRest(string text, int number)
    {
        Assert.Equal(Errno.Ok, SysfsNumber.ScanDecimal(Encoding.ASCII.GetBytes(text), out int value));
        Assert.Equal(number, value);
    }

    [Theory]
    [InlineData("71", 71)]
    [InlineData("0x47", 71)]
    [InlineData("0107", 71)]
    [InlineData("0X47\n", 71)]
    [InlineData(" -0x10", -16)]
    [InlineData("+010x", 8)]
    [InlineData("0", 0)]
    [InlineData("08", 0)]
    [InlineData("4 5", 4)]
    public void ScannedIntegersChooseTheirRadix(string text, int number)
    {
        Assert.Equal(Errno.Ok, SysfsNumber.ScanInteger(Encoding.ASCII.GetBytes(text), out int value));
        Assert.Equal(number, value);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n")]
    [InlineData("  ")]
    [InlineData("abc")]
    [InlineData("-")]
    [InlineData("- 1")]
    [InlineData("+-1")]
    [InlineData("x10")]
    public void WithoutADigitNothingIsScanned(string text)
    {
        Assert.Equal(Errno.EINVAL, SysfsNumber.ScanDecimal(Encoding.ASCII.GetBytes(text), out _));
        Assert.Equal(Errno.EINVAL, SysfsNumber.ScanInteger(Encoding.ASCII.GetBytes(text), out _));
    }

    [Theory]
    [InlineData(true, "y", "Y", "t", "T", "1", "yes\n", "true", "1abc", "on", "On", "oN", "ON\n", "once")]
    [InlineData(false, "n", "N", "f", "F", "0", "no\n", "false", "00", "off", "of", "OFF", "oFf\n")]
    public void BooleansAreToldByTheirFirstLetters(bool expected, params string[] texts)
    {
        foreach (string text in texts)
        {
            Assert.Equal(Errno.Ok, SysfsNumber.ParseBoolean(Encoding.ASCII.GetBytes(text), out bool value));
            Assert.Equal(expected, value);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n")]
    [InlineData("o")]
    [InlineData("ox")]
    [InlineData("2")]
    [InlineData("-1")]
    [InlineData(" 1")]
    [InlineData("x")]
    [InlineData("+1")]
    public void AnythingElseIsNoBoolean(string text) =>
        Assert.Equal(Errno.EINVAL, SysfsNumber.ParseBoolean(Encoding.ASCII.GetBytes(text), out _));
}
