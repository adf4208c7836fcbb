using Apvirt.Ap.Profiles;

namespace Apvirt.Ap.Tests.Profiles;

/// <summary>A deviation is a named quirk in one table (DESIGN.md "Two profiles").</summary>
public sealed class QuirkTableTests
{
    [Fact]
    public void EveryQuirkHasOneEntryWithItsFinding()
    {
        Assert.Equal(Enum.GetValues<Quirk>(), QuirkTable.Entries.Select(entry => entry.Quirk));
        Assert.All(QuirkTable.Entries, entry =>
        {
            Assert.NotEmpty(entry.Finding);
            Assert.NotEmpty(entry.Summary);
            Assert.NotEmpty(entry.Instead);
        });
    }

    [Fact]
    public void Linux612HasAllOfThemAndAProfileOnlyWhatItNames()
    {
        Profile one = new("one", [Quirk.TextCutInLine]);
        foreach (Quirk quirk in Enum.GetValues<Quirk>())
        {
            Assert.True(Profile.Linux612.Has(quirk));
            Assert.Equal(quirk == Quirk.TextCutInLine, one.Has(quirk));
        }
        Assert.Equal("linux-6.12", Profile.Linux612.Name);
    }
}
