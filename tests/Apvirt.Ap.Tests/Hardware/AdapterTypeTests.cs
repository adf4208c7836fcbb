using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;

namespace Apvirt.Ap.Tests.Hardware;

/// <summary>Names and facility words of adapters (ap-bus.md §2).</summary>
public sealed class AdapterTypeTests
{
    [Theory]
    [InlineData("CEX4A", 10, 0x6A800000)]
    [InlineData("CEX5C", 11, 0x92800000)]
    [InlineData("CEX6P", 12, 0x06800000)]
    [InlineData("CEX7C", 13, 0x92800000)]
    [InlineData("CEX8A", 14, 0x6A800000)]
    [InlineData("CEX8P", 14, 0x06800000)]
    public void AUsualNameGivesTypeAndFacilities(string name, int hwType, uint functions)
    {
        Assert.True(AdapterType.TryParse(name, out AdapterType? type));
        Assert.Equal(hwType, type!.HwType);
        Assert.Equal(functions, type.Functions);
        Assert.Equal(name, type.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("CEX3C")]
    [InlineData("CEX9C")]
    [InlineData("CEX8X")]
    [InlineData("CEX8")]
    [InlineData("cex8C")]
    [InlineData("CEX8CC")]
    public void AnythingElseIsNoType(string name) => Assert.False(AdapterType.TryParse(name, out _));

    [Theory]
    [InlineData(1, 12288, 0, 0)]
    [InlineData(8, 12288, 7, 0)]
    [InlineData(256, 1044480, 255, 255)]
    public void TapqGivesTheDepthLessOneAndTheMessageLimitInPages(int depth, int bytes, byte rawDepth, byte limit)
    {
        ApQueueInfo info = new AdapterType(14, AdapterType.CcaFunctions, depth, bytes).Info;
        Assert.Equal((rawDepth, limit), (info.Depth, info.MessageLimit));
        Assert.Equal(bytes, info.MaxMessageBytes);
    }
}
