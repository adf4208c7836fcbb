using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Kernel;

namespace Apvirt.Ap.Tests.Bus;

/// <summary>The grammar of ap-bus.md §3 and QUIRKS.md 19 and 20.</summary>
public sealed class MaskTextTests
{
    private static (Errno Error, ApMask Mask) Parse(string text, params int[] current) =>
        (MaskText.Parse(Encoding.ASCII.GetBytes(text), ApMask.Of(current), out ApMask mask), mask);

    [Theory]
    [InlineData("0x41", new[] { 1, 7 })]
    [InlineData("0xff", new[] { 0, 1, 2, 3, 4, 5, 6, 7 })]
    [InlineData("5", new[] { 1, 3 })]
    [InlineData("xF\n", new[] { 0, 1, 2, 3 })]
    [InlineData("0x", new int[0])]
    [InlineData("x", new int[0])]
    [InlineData("\n", new int[0])]
    [InlineData("", new int[0])]
    public void Absolute(string text, int[] ids)
    {
        (Errno error, ApMask mask) = Parse(text, 200);
        Assert.Equal(Errno.Ok, error);
        Assert.Equal(ids, mask.ToList());
    }

    [Theory]
    [InlineData("+1+2-7", new[] { 1, 2, 3, 4, 5, 6, 7 })]
    [InlineData("+1,+2,", new[] { 1, 2, 7 })]
    [InlineData("-1-2-3", new[] { 7 })]
    [InlineData("+0x10-0x12\n", new[] { 7, 16, 17, 18 })]
    [InlineData("-0-255", new int[0])]
    [InlineData("+010", new[] { 7, 8 })]
    [InlineData("+18446744073709551616", new[] { 0, 7 })]
    public void Relative(string text, int[] ids)
    {
        (Errno error, ApMask mask) = Parse(text, 7);
        Assert.Equal(Errno.Ok, error);
        Assert.Equal(ids, mask.ToList());
    }

    [Theory]
    [InlineData("0X1")]
    [InlineData("0xg")]
    [InlineData("0x1\n\n")]
    [InlineData(" 0x1")]
    [InlineData("0x1 ")]
    [InlineData("0x00000000000000000000000000000000000000000000000000000000000000001")]
    [InlineData("+")]
    [InlineData("+,1")]
    [InlineData("+256")]
    [InlineData("+5-4")]
    [InlineData("+1 +2")]
    [InlineData("+1,2")]
    [InlineData("+08")]
    [InlineData("+1-")]
    public void Refused_and_unchanged(string text)
    {
        (Errno error, ApMask mask) = Parse(text, 7, 9);
        Assert.Equal(Errno.EINVAL, error);
        Assert.Equal([7, 9], mask.ToList());
    }
}
