using Apvirt.Ap.Architecture;
using Apvirt.Kernel.Runtime;

namespace Apvirt.Ap.Tests.Architecture;

public sealed class ApMaskTests
{
    [Fact]
    public void Bit_0_is_the_leftmost()
    {
        Assert.Equal("0x8000000000000000000000000000000000000000000000000000000000000000", ApMask.Of(0).ToString());
        Assert.Equal("0x0000000000000000000000000000000000000000000000000000000000000001", ApMask.Of(255).ToString());
        Assert.Equal("0x0800000000000000010000000000000000000000001000000000000000000001", ApMask.Of(4, 0x47, 0xab, 0xff).ToString());
    }

    [Fact]
    public void Behaves_as_a_set_of_256()
    {
        SplitMix random = new(42);
        for (int round = 0; round < 200; round++)
        {
            HashSet<int> a = [.. Enumerable.Range(0, random.Below(60)).Select(_ => random.Below(256))];
            HashSet<int> b = [.. Enumerable.Range(0, random.Below(60)).Select(_ => random.Below(256))];
            ApMask ma = ApMask.Of(a);
            ApMask mb = ApMask.Of(b);
            Assert.Equal(a.Order(), ma.ToList());
            Assert.Equal(a.Count, ma.Count);
            Assert.Equal(a.Intersect(b).Order(), (ma & mb).ToList());
            Assert.Equal(a.Union(b).Order(), (ma | mb).ToList());
            Assert.Equal(a.Except(b).Order(), (ma & ~mb).ToList());
            Assert.Equal(a.Except(b).Union(b.Except(a)).Order(), (ma ^ mb).ToList());
            Assert.Equal(a.Overlaps(b), ma.Intersects(mb));
            Assert.Equal(a.IsSubsetOf(b), ma.IsSubsetOf(mb));
            Assert.Equal(a.SetEquals(b), ma == mb);
            Assert.Equal(a.Count == 0, ma.IsEmpty);
            int id = random.Below(256);
            Assert.Equal(a.Contains(id), ma[id]);
            Assert.Equal(a.Append(id).Distinct().Order(), ma.With(id).ToList());
            Assert.Equal(a.Where(x => x != id).Order(), ma.Without(id).ToList());
            int max = random.Below(257) - 1;
            Assert.Equal(Enumerable.Range(0, max + 1), ApMask.UpTo(max).ToList());
        }
    }

    [Theory]
    [InlineData("05.0047", 5, 0x47)]
    [InlineData("FF.00Ab", 255, 0xab)]
    public void Apqn_text(string text, int apid, int apqi)
    {
        Assert.True(Apqn.TryParse(text, out Apqn apqn));
        Assert.Equal(Apqn.Of(apid, apqi), apqn);
        Assert.Equal(text.ToLowerInvariant(), apqn.ToString());
    }

    [Theory]
    [InlineData("5.47")]
    [InlineData("05.0147")]
    [InlineData("05-0047")]
    [InlineData("05.004g")]
    public void Apqn_text_that_is_none(string text) => Assert.False(Apqn.TryParse(text, out _));
}
