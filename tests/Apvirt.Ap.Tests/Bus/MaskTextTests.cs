using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;

namespace Apvirt.Ap.Tests.Bus;

/// <summary>The mask grammar of ap-bus.md §3 with the observations of QUIRKS.md 19 and 20.</summary>
public sealed class MaskTextTests
{
    private static readonly ApMask Current = ApMask.Of(0, 1, 2, 3, 200);

    [Theory]
    [InlineData("0x41", 1, 7)]
    [InlineData("0xff", 0, 1, 2, 3, 4, 5, 6, 7)]
    [InlineData("0xf", 0, 1, 2, 3)]
    [InlineData("f", 0, 1, 2, 3)]
    [InlineData("5", 1, 3)]
    [InlineData("x8", 0)]
    [InlineData("0x8\n", 0)]
    [InlineData("0xF0a", 0, 1, 2, 3, 8, 10)]
    [InlineData("0x00000000000000008", 64)]
    [InlineData("0x0000000000000000000000000000000000000000000000000000000000000001", 255)]
    [InlineData("8000000000000000000000000000000000000000000000000000000000000001\n", 0, 255)]
    [InlineData("\n")]
    [InlineData("0x")]
    [InlineData("x")]
    [InlineData("0x\n")]
    [InlineData("x\n")]
    [InlineData("0")]
    public void AnAbsoluteMaskFillsFromTheLeft(string text, params int[] ids)
    {
        Assert.Equal(Errno.Ok, Parse(text, out ApMask mask));
        Assert.Equal(ids, mask.ToList());
    }

    [Theory]
    [InlineData("0X41")]
    [InlineData("g")]
    [InlineData("0xg")]
    [InlineData("0x4,1")]
    [InlineData("0x41 ")]
    [InlineData(" 0x41")]
    [InlineData("0x41\n\n")]
    [InlineData("\n\n")]
    [InlineData("\n0x41")]
    [InlineData("0x0x1")]
    [InlineData("xx1")]
    [InlineData("41-43")]
    [InlineData("5+6")]
    [InlineData(",+5")]
    [InlineData(" +5")]
    [InlineData("0x00000000000000000000000000000000000000000000000000000000000000000")]
    public void AnythingElseIsNoAbsoluteMask(string text)
    {
        Assert.Equal(Errno.EINVAL, Parse(text, out ApMask mask));
        Assert.Equal(Current, mask);
    }

    [Theory]
    [InlineData("+5", 0, 1, 2, 3, 5, 200)]
    [InlineData("+5\n", 0, 1, 2, 3, 5, 200)]
    [InlineData("-1", 0, 2, 3, 200)]
    [InlineData("+1", 0, 1, 2, 3, 200)]
    [InlineData("-99", 0, 1, 2, 3, 200)]
    [InlineData("+10,+11", 0, 1, 2, 3, 10, 11, 200)]
    [InlineData("+10,-0,", 1, 2, 3, 10, 200)]
    [InlineData("+10,,\n,+11\n\n", 0, 1, 2, 3, 10, 11, 200)]
    [InlineData("+1+2-7", 0, 1, 2, 3, 4, 5, 6, 7, 200)]
    [InlineData("-1-2-3", 0, 200)]
    [InlineData("+16-20,-18", 0, 1, 2, 3, 16, 17, 19, 20, 200)]
    [InlineData("-2,+2", 0, 1, 2, 3, 200)]
    [InlineData("+2,-2", 0, 1, 3, 200)]
    [InlineData("+0x10-0X11", 0, 1, 2, 3, 16, 17, 200)]
    [InlineData("+017", 0, 1, 2, 3, 15, 200)]
    [InlineData("+7-7", 0, 1, 2, 3, 7, 200)]
    [InlineData("+255", 0, 1, 2, 3, 200, 255)]
    [InlineData("-0-255")]
    [InlineData("-0-255,+9", 9)]
    [InlineData("-18446744073709551616", 1, 2, 3, 200)]
    [InlineData("+18446744073709551621", 0, 1, 2, 3, 5, 200)]
    public void ARelativeMaskChangesThePresentOne(string text, params int[] ids)
    {
        Assert.Equal(Errno.Ok, Parse(text, out ApMask mask));
        Assert.Equal(ids, mask.ToList());
    }

    [Theory]
    [InlineData("+")]
    [InlineData("-")]
    [InlineData("+\n")]
    [InlineData("++5")]
    [InlineData("+ 5")]
    [InlineData("+5 ")]
    [InlineData("+5, +6")]
    [InlineData("+,5")]
    [InlineData("+5,6")]
    [InlineData("+5-")]
    [InlineData("+5--6")]
    [InlineData("+5-4")]
    [InlineData("+256")]
    [InlineData("-256")]
    [InlineData("+0-256")]
    [InlineData("+0x100")]
    [InlineData("+08")]
    [InlineData("+0x")]
    [InlineData("+5x")]
    [InlineData("+abc")]
    [InlineData("+9,+256")]
    public void AnyErrorLeavesTheMaskAsItWas(string text)
    {
        Assert.Equal(Errno.EINVAL, Parse(text, out ApMask mask));
        Assert.Equal(Current, mask);
    }

    [Fact]
    public void AMaskIsPrintedAs64Digits()
    {
        SysfsText text = new();
        text.AppendMask(ApMask.Of(0, 7, 255));
        Assert.Equal("0x8100000000000000000000000000000000000000000000000000000000000001", text.ToString());
        Assert.Equal(MaskText.PrintedLength, text.Length);
    }

    [Fact]
    public void WhatIsPrintedIsReadBack()
    {
        Assert.Equal(Errno.Ok, MaskText.Parse(Encoding.ASCII.GetBytes(Current + "\n"), ApMask.All, out ApMask mask));
        Assert.Equal(Current, mask);
    }

    private static Errno Parse(string text, out ApMask mask) => MaskText.Parse(Encoding.ASCII.GetBytes(text), Current, out mask);
}
