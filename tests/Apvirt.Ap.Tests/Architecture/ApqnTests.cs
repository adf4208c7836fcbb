using Apvirt.Ap.Architecture;

namespace Apvirt.Ap.Tests.Architecture;

/// <summary>Queue numbers, queue information and the status word (ap-bus.md, kvm.md §5).</summary>
public sealed class ApqnTests
{
    [Theory]
    [InlineData(0, 0, "00.0000", 0)]
    [InlineData(1, 0x47, "01.0047", 0x0147)]
    [InlineData(0xab, 0xff, "ab.00ff", 0xabff)]
    [InlineData(255, 255, "ff.00ff", 0xffff)]
    public void AnApqnIsPrintedInHexAndHoldsTheAdapterInTheUpperByte(int apid, int apqi, string text, int number)
    {
        Apqn apqn = Apqn.Of(apid, apqi);
        Assert.Equal(text, apqn.ToString());
        Assert.Equal(number, apqn.Number);
        Assert.True(Apqn.TryParse(text, out Apqn parsed));
        Assert.Equal(apqn, parsed);
    }

    [Theory]
    [InlineData("")]
    [InlineData("01.004")]
    [InlineData("01.00047")]
    [InlineData("1.0047")]
    [InlineData("01-0047")]
    [InlineData("01.0100")]
    [InlineData("0g.0047")]
    [InlineData("01.004g")]
    [InlineData(" 1.0047")]
    [InlineData("01.+047")]
    public void AnythingElseIsNoApqn(string text) => Assert.False(Apqn.TryParse(text, out _));

    [Fact]
    public void ApqnsSortByAdapterThenDomain()
    {
        Apqn[] sorted = [.. new[] { Apqn.Of(2, 0), Apqn.Of(1, 9), Apqn.Of(1, 3), Apqn.Of(0, 200) }.Order()];
        Assert.Equal([Apqn.Of(0, 200), Apqn.Of(1, 3), Apqn.Of(1, 9), Apqn.Of(2, 0)], sorted);
    }

    [Theory]
    [InlineData(0x92800000, ApMode.Cca)]
    [InlineData(0x06800000, ApMode.Ep11)]
    [InlineData(0x6A800000, ApMode.Accelerator)]
    [InlineData(0x12400000, ApMode.Cca)]
    [InlineData(0x1C000000, ApMode.Accelerator)]
    [InlineData(0x14000000, ApMode.Cca)]
    [InlineData(0x02800000, ApMode.None)]
    public void TheModeFollowsTheFacilityBitsAcceleratorFirst(uint functions, ApMode mode) =>
        Assert.Equal(mode, new ApQueueInfo(functions, 14, 7, 0).Mode);

    [Theory]
    [InlineData(0, 12288)]
    [InlineData(1, 4096)]
    [InlineData(3, 12288)]
    [InlineData(255, 1044480)]
    public void TheLargestMessageIsInUnitsOf4096Bytes(byte limit, int bytes) =>
        Assert.Equal(bytes, new ApQueueInfo(0, 14, 7, limit).MaxMessageBytes);

    [Theory]
    [InlineData(ApResponse.Normal, false, true, false, false, 0x80000000)]
    [InlineData(ApResponse.NotAvailable, false, true, false, false, 0x80010000)]
    [InlineData(ApResponse.OtherwiseChanged, true, true, false, false, 0x81070000)]
    [InlineData(ApResponse.NoPendingReply, false, false, true, true, 0x60100000)]
    public void TheStatusWordHasFlagsInByteZeroAndTheCodeInByteOne(
        ApResponse code, bool interrupts, bool empty, bool replies, bool full, uint word) =>
        Assert.Equal(word, new ApStatus(code, interrupts, empty, replies, full).Word);
}
