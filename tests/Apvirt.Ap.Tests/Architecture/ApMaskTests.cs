using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Ap.Tests.Architecture;

/// <summary>Bit order (sysfs.md G13) and set operations, the latter against a plain array of 256 flags.</summary>
public sealed class ApMaskTests
{
    [Theory]
    [InlineData(0, "0x8000000000000000000000000000000000000000000000000000000000000000")]
    [InlineData(1, "0x4000000000000000000000000000000000000000000000000000000000000000")]
    [InlineData(7, "0x0100000000000000000000000000000000000000000000000000000000000000")]
    [InlineData(64, "0x0000000000000000800000000000000000000000000000000000000000000000")]
    [InlineData(71, "0x0000000000000000010000000000000000000000000000000000000000000000")]
    [InlineData(255, "0x0000000000000000000000000000000000000000000000000000000000000001")]
    public void BitZeroIsTheLeftmost(int id, string text)
    {
        Assert.Equal(text, ApMask.Of(id).ToString());
        Assert.Equal([id], ApMask.Of(id).ToList());
        byte[] digits = new byte[64];
        ApMask.Of(id).FormatHex(digits);
        Assert.Equal(text[2..], System.Text.Encoding.ASCII.GetString(digits));
    }

    [Fact]
    public void AllAndNoneAreWhatTheySay()
    {
        Assert.Equal("0x" + new string('f', 64), ApMask.All.ToString());
        Assert.Equal("0x" + new string('0', 64), ApMask.None.ToString());
        Assert.Equal(256, ApMask.All.Count);
        Assert.True(ApMask.None.IsEmpty);
        Assert.Equal(ApMask.None, ~ApMask.All);
    }

    [Fact]
    public void UpToHoldsEveryIdUpToTheHighest()
    {
        for (int max = -1; max < 256; max++)
            Assert.Equal(Enumerable.Range(0, max + 1), ApMask.UpTo(max).ToList());
    }

    [Fact]
    public void SetOperationsAgreeWithAnArrayOfFlags()
    {
        SplitMix random = new(2026);
        for (int round = 0; round < 500; round++)
        {
            bool[] a = Flags(ref random);
            bool[] b = Flags(ref random);
            ApMask x = Mask(a);
            ApMask y = Mask(b);
            int id = random.Below(256);
            Check(i => a[i] && b[i], x & y);
            Check(i => a[i] || b[i], x | y);
            Check(i => a[i] != b[i], x ^ y);
            Check(i => !a[i], ~x);
            Check(i => a[i] || i == id, x.With(id));
            Check(i => a[i] && i != id, x.Without(id));
            Assert.Equal(a.Count(set => set), x.Count);
            Assert.Equal(!a.Contains(true), x.IsEmpty);
            Assert.Equal(Enumerable.Range(0, 256).Any(i => a[i] && b[i]), x.Intersects(y));
            Assert.Equal(Enumerable.Range(0, 256).All(i => !a[i] || b[i]), x.IsSubsetOf(y));
            Assert.True((x & y).IsSubsetOf(x));
            Assert.Equal(a.SequenceEqual(b), x == y);
            Assert.Equal(x, ApMask.Of(x.ToList()));
            Assert.Equal(x.GetHashCode(), ApMask.Of(x.ToList()).GetHashCode());
        }
    }

    private static void Check(Func<int, bool> model, ApMask mask)
    {
        for (int i = 0; i < 256; i++)
            Assert.Equal(model(i), mask[i]);
        Assert.Equal(Enumerable.Range(0, 256).Where(model), mask.ToList());
    }

    // Every density occurs, so that empty, sparse, dense and full masks do.
    private static bool[] Flags(ref SplitMix random)
    {
        int density = random.Below(5) * 25;
        bool[] flags = new bool[256];
        for (int i = 0; i < flags.Length; i++)
            flags[i] = random.Below(100) < density;
        return flags;
    }

    private static ApMask Mask(bool[] flags) => ApMask.Of(Enumerable.Range(0, 256).Where(i => flags[i]));
}
